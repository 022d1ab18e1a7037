"""Names of files and digests of texts: keys come from data and become files' names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from api_cli.runs.endings import split_name

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_RESERVED_CHARACTERS = '/\\:*?"<>|$'  # what stands after a $, `datasets` and shells replace
_ESCAPED = re.compile(r".*~[0-9a-f]{16}", re.IGNORECASE)
_MAX_BYTES = 150  # of a name; file systems take 255, and other tools add to names

# what `datasets` takes for the name of a split, between these or at an end (its data_files.py)
_SPLITS = "train|training|validation|valid|dev|val|test|testing|eval|evaluation"
_ENDS = "-._ 0-9"
# endings that are no picture's: where as many files have one, `datasets` takes a folder for
# something else (its packaged_modules; tests compare)
_NO_PICTURES = (
    "csv tsv json jsonl ndjson parquet geoparquet gpq arrow txt conll conllu tar xml hdf5 h5 eval "
    "toml md lance tsfile vortex fa fasta fna ffn faa frn afa gb gbk genbank fq fastq pdb ent cif "
    "mmcif zip pdf nii ply stl obj glb gltf fbx off 3mf dae usd usda usdc usdz "
    "aiff aif au avr wma ogm nut mxf f4v asf caf flac htk svx mat4 mat5 mpc2k ogg paf pvf raw rf64 "
    "sd2 sds ircam voc w64 wav nist wavex wve xi mp3 opus mkv mp4 avi mpeg mov 3gp 3g2 "
    "webm m4v wmv flv mpg"
).replace(" ", "|")
_TAKEN = (
    rf"(?:(?:^|(?<=[{_ENDS}]))(?:{_SPLITS})(?=[{_ENDS}]{{end}})"
    rf"|(?<=\.)(?i:{_NO_PICTURES})(?=\.{{end}}))"
)
_TAKEN_WITHIN = re.compile(_TAKEN.format(end=""))
_TAKEN_ANYWHERE = re.compile(_TAKEN.format(end="|$"))
_SIMPLE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}(?<!\.)")
_KIND = re.compile(r"(.+)\.[a-z_]+")  # a file beside a sample's: `cat.cls_map`


def portable_name(name: str) -> str:
    """A name that is one file's on every system and leads nowhere else.

    Harmless names stay as they are. In others (separators, control and reserved characters,
    device names, leading dots, surrounding spaces, too long, not in Unicode's normal form) what
    harms is replaced and 64 bits of the name's SHA-256 follow, so that two names stay two.
    """
    return name if _is_portable(name) else _with_digest(name, _harmless(name))


def safe_name(name: str) -> str:
    """A `portable_name` that may also stand inside a run folder, as a file's or a folder's.

    `datasets` reads words such as `test` and `val2014` as splits, and endings such as `.csv` as
    what a folder holds; they are ended by a `~`.
    """
    if _is_portable(name) and not _TAKEN_ANYWHERE.search(name):
        return name
    return digested_name(name)


def digested_name(name: str, of: str | None = None) -> str:
    """A `safe_name` with digest, also where the name is harmless; the digest of another text."""
    digested = name if of is None else of
    return _with_digest(digested, _TAKEN_WITHIN.sub(r"\g<0>~", _harmless(name)))


class SampleNames:
    """The names, without endings, of samples' files: `safe_name`, with digest where it is crowded.

    Crowded are names that differ in case or in Unicode's normal form alone, so that some file
    systems take them for one, and names such as `cat` and `cat.cls_map`, where a file beside the
    one would have the name of the other. That depends on the dataset, not on order or processes.

    Args:
        keys: of all samples of the dataset.
        sources: names of their pictures' own files by key, to be called by those.

    Attributes:
        keys: the same.
    """

    def __init__(self, keys: Iterable[str] = (), sources: Mapping[str, str] | None = None) -> None:
        self.keys = frozenset(keys)
        self._sources = sources
        crowded: set[str] = set()
        first: dict[str, str] = {}  # of the keys whose names are alike; a list each takes long
        for key in self.keys:
            there = first.setdefault(_fold(safe_name(self._wished(key))), key)
            if there is not key:
                crowded |= {there, key}
        for name, key in first.items():
            beside = _KIND.fullmatch(name) if "." in name else None
            if beside and beside[1] in first:
                crowded |= {key, first[beside[1]]}
        self._crowded = crowded

    def __call__(self, key: str) -> str:
        """A sample's."""
        name = self._wished(key)
        return digested_name(name, of=key) if key in self._crowded else safe_name(name)

    def ending(self, key: str) -> str:
        """The ending of a sample's own file, where it is one that is kept; else empty."""
        return split_name(self._sources.get(key, key))[1] if self._sources is not None else ""

    def notes(self) -> Iterator[str]:
        """What is to be said of sources whose name or ending cannot stay."""
        if self._sources is None:
            return
        names = {key: split_name(name) for key, name in self._sources.items()}
        renamed = sum(self(key) != stem for key, (stem, _) in names.items())
        if renamed:
            yield (
                f"--format source: {renamed} of {len(names)} pictures get a digest behind their "
                "name, which others have as well (questions about one picture, `a.jpg` beside "
                "`a.png`, equal names in several folders) or which `datasets` would misread"
            )
        endings = Counter(
            PurePath(name).suffix or "no suffix"
            for key, name in self._sources.items()
            if not names[key][1]
        )
        if endings:
            some = ", ".join(f"{number} {ending}" for ending, number in endings.most_common(5))
            yield (
                "--format source: pictures whose suffix does not say a format that is written get "
                f"that of their content, or png ({some})"
            )

    def _wished(self, key: str) -> str:
        return key if self._sources is None else split_name(self._sources.get(key, key))[0]


def _is_portable(name: str) -> bool:
    if _SIMPLE.fullmatch(name):
        return not _RESERVED.fullmatch(name)
    return (
        name != ""
        and _harmless(name) == name
        and len(name.encode()) <= _MAX_BYTES
        and not _RESERVED.fullmatch(name)
        and not _ESCAPED.fullmatch(name)
    )


def _harmless(name: str) -> str:
    replaced = (
        "_" if c in _RESERVED_CHARACTERS or unicodedata.category(c)[0] == "C" else c
        for c in unicodedata.normalize("NFC", name)
    )
    return "".join(replaced).strip(" .")


def _with_digest(name: str, harmless: str) -> str:
    head = harmless.encode()[: _MAX_BYTES - 17].decode(errors="ignore")
    return f"{head}~{digest_text(name)}"


def _fold(name: str) -> str:
    """What is the same for names that some file system takes for one."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def digest_text(text: str) -> str:
    """16 hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def asked(question: str, query: str | None) -> int:
    """Tells questions apart, and what the model was asked instead, within one process."""
    return hash(question) if query is None else hash((question, query))
