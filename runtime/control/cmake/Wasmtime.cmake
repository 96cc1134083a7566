# wasmtime's C library is the one inside the PyPI package `wasmtime`, pinned to one version in pyproject.toml.
# It has no SONAME, so its file name is what the executables ask for; they find it beside their own package.
set(WASMTIME_LIBRARY "" CACHE FILEPATH "_libwasmtime.so; empty: the one of the Python package `wasmtime`")
if(NOT WASMTIME_LIBRARY)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    execute_process(
        COMMAND ${Python3_EXECUTABLE} -c "import wasmtime._ffi as f; print(f.dll._name)"
        OUTPUT_VARIABLE WASMTIME_LIBRARY OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()
cmake_path(GET WASMTIME_LIBRARY PARENT_PATH WASMTIME_DIRECTORY)
cmake_path(GET WASMTIME_DIRECTORY FILENAME WASMTIME_PLATFORM)
add_library(wasmtime INTERFACE IMPORTED)
target_link_directories(wasmtime INTERFACE ${WASMTIME_DIRECTORY})
target_link_libraries(wasmtime INTERFACE -l:_libwasmtime.so)  # by its file name: it has no "lib" in front
# Executables live in site-packages/holdfast/bin, the library in site-packages/wasmtime/<platform>.
set(CMAKE_INSTALL_RPATH "$ORIGIN/../../wasmtime/${WASMTIME_PLATFORM}")
# Tests and benchmarks run from the build tree.
set(CMAKE_BUILD_RPATH ${WASMTIME_DIRECTORY})
