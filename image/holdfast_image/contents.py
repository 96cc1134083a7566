"""What an image consists of, written beside it: packages with hashes, licences, bill of materials."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from holdfast_image.bill_of_materials import (
    bill_of_materials,
    compiled_in_components,
    debian_components,
    go_components,
    libraries_compiled_in,
    python_components,
)
from holdfast_image.board_kernel import LICENCE, BoardKernel
from holdfast_image.builder import Builder
from holdfast_image.errors import BuildError
from holdfast_image.licences import extract_copyrights, licence_list, licence_names, read_copyrights
from holdfast_image.ollama import Ollama
from holdfast_image.packages import Package, image_packages, listing

PACKAGES = "image.packages"
LICENCES = "image.licences.txt"
BILL_OF_MATERIALS = "image.cdx.json"
# mkosi makes the initrd as an image of its own, from the same mirror but not always on the same day.
_MANIFESTS = ("image.manifest", "initrd.manifest")


def write_contents(
    output: Path,
    builder: Builder,
    kernel: BoardKernel | None,
    ollama: Ollama | None,
    archives: Path,
    site: Path,
    version: str,
    definition: Path,
    log: Path,
) -> list[Package]:
    """Write packages, licences and bill of materials into `output`, where mkosi's manifests are; return the packages.

    Args:
        output: mkosi's output folder.
        builder: the tree whose libraries were compiled into our executables.
        kernel: the image's kernel, if it is no package.
        ollama: what runs language models, if it is in the image.
        archives: apt's cache with the .deb files that the image was made from.
        site: the folder with the Python packages of the runtime.
        version: the image's version, and the hash of what it was made from.
        definition: mkosi.conf.
        log: takes what the tools say.

    Raises:
        BuildError: a .deb is missing or damaged.
    """
    packages = image_packages([output / name for name in _MANIFESTS], archives)
    with tempfile.TemporaryDirectory(prefix="holdfast-licences-") as folder:
        extract_copyrights(builder, archives, packages, Path(folder), log)
        texts = read_copyrights(Path(folder), packages)
    names = {name: licence_names(text) for name, text in texts.items()}
    compiled_in = libraries_compiled_in(builder.packages(), with_ollama=ollama is not None)
    licensed = list(packages)
    if kernel is not None:
        compiled_in[kernel.source] = LICENCE
        licensed.append(kernel.source)
        names[kernel.source.name] = [LICENCE]
        texts[kernel.source.name] = kernel.licence_text
    modules = ollama.modules if ollama is not None else []
    if ollama is not None:
        licensed += modules
        names |= {module.name: [] for module in modules}
        texts |= ollama.licence_texts
    components = [
        *debian_components(packages, names),
        *go_components(modules),
        *compiled_in_components(compiled_in),
        *python_components(site),
    ]
    (output / PACKAGES).write_text(listing(packages))
    (output / LICENCES).write_text(licence_list(licensed, names, texts))
    document = bill_of_materials(version, components, _source_date(definition))
    (output / BILL_OF_MATERIALS).write_text(document)
    return packages


def _source_date(definition: Path) -> int:
    found = re.search(r"^SourceDateEpoch=(\d+)$", definition.read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{definition} sets no SourceDateEpoch")
    return int(found[1])
