#!/bin/sh
# Builds Ollama in the current folder, inside the builder tree: build.sh SOURCE [COMPILER-PREFIX], where SOURCE has go.mod.
# Leaves tree/usr with the program and what it computes with on each kind of processor, the file `modules` with one line
# "PATH VERSION" for each Go module in it, and licences/PATH@VERSION/. Go checks everything it fetches against go.sum.
set -eu
source=$1
prefix=${2:-}
module=github.com/ollama/ollama
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly\ -trimpath GOCACHE="$PWD/cache" GOMODCACHE="$PWD/mod" CGO_ENABLED=1
# Go leaves folders named "vendor" out of a module. What is missing there is Debian's, under the name it is asked for.
mkdir -p include
ln -s /usr/include include/miniaudio
export CGO_CPPFLAGS="-I$PWD/include"
export CC="${prefix}gcc" CXX="${prefix}g++"
if [ "$prefix" = aarch64-linux-gnu- ]; then export GOARCH=arm64; fi
PATH=/usr/lib/go-1.26/bin:$PATH

here=$PWD
cd "$source"
go mod download
version=$(go list -m -f '{{.Version}}' "$module")
native=$(go list -m -f '{{.Dir}}' "$module")
go build -ldflags="-s -w -buildid= -X=$module/version.Version=${version#v}" -o "$here/tree/usr/bin/ollama" "$module"

cd "$here"
# The program itself is for the oldest processor of its kind; these are chosen from when it starts. For ARM there are none.
if [ -z "$prefix" ]; then
    flags="-ffile-prefix-map=$native=."
    cmake -G Ninja -S "$native" -B native -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" -DGGML_CCACHE=OFF \
        -DCMAKE_INSTALL_PREFIX=/usr
    cmake --build native --target ggml-cpu
    DESTDIR=$here/tree cmake --install native --component CPU --strip
fi

go version -m tree/usr/bin/ollama | awk '$1 == "mod" || $1 == "dep" { print $2, $3 }' | sort >modules
while read -r path version; do
    folder=$(cd "$source" && go list -m -f '{{.Dir}}' "$path")
    mkdir -p "licences/$path@$version"
    find "$folder" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) \
        -exec cp --no-preserve=mode {} "licences/$path@$version/" \;
done <modules
ollama=licences/$module@$(awk -v path="$module" '$1 == path { print $2 }' modules)
cp --no-preserve=mode "$native/llama/llama.cpp/LICENSE" "$ollama/LICENSE.llama.cpp"
cp --no-preserve=mode "$native/ml/backend/ggml/ggml/LICENSE" "$ollama/LICENSE.ggml"
std="std $(go env GOVERSION)"
echo "$std" >>modules
mkdir -p "licences/${std% *}@${std#* }"
# The same text as Go's own, which Debian has in /usr/share/doc, where the builder tree has nothing.
cp --no-preserve=mode "$(go env GOROOT)/src/cmd/vendor/golang.org/x/sys/LICENSE" "licences/${std% *}@${std#* }/"
chmod -R u+w mod
