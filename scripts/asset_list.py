"""List what each data set consists of, where it comes from and how it is recognised."""

from dataclasses import dataclass
from pathlib import Path

GITHUB = "https://raw.githubusercontent.com"
COMMIT = "2adf640a14f11025ae5a9d0ec493b78530d276d3"
BASE_URL = f"{GITHUB}/google-research/google-research/{COMMIT}"
WNUT17 = f"{GITHUB}/leondz/emerging_entities_17/e52a2d2a71ac1a051ca2d532eef28653c5c02603"
EXPLOSION = f"{GITHUB}/explosion/projects/504e1e428238a08fb038c04af04ea4b3b34756af/tutorials"
PARSCIT = f"{GITHUB}/knmnyn/ParsCit/120a7583012ab5a6e11e73d89a98c65b649dd6e7"
ANATEM = "https://github.com/openbiocorpora/anatem"
ANATEM_COMMIT = "a0209b9d37fb9eb8a2c986f63a5352bd66bc3f2e"


@dataclass(frozen=True)
class Asset:
    """A file as it must be.

    path: Below the base URL, or a URL of its own. size (bytes). rows: Lines, or groups of a JSON
        file; None of an archive.
    """

    path: str
    sha256: str
    size: int
    rows: int | None

    @property
    def name(self) -> str:
        """Return the file's name in assets/<data>/ and in a mirror."""
        return Path(self.path).name


@dataclass(frozen=True)
class Folder:
    """A folder of an archive as it must be; files with other suffixes do not count.

    name: In assets/<data>/. path: In the archive, below its root. sha256: Of the lines that
        `LC_ALL=C sha256sum *` prints in it. files: Their number. size (bytes): Of all of them.
    """

    name: str
    path: str
    sha256: str
    files: int
    size: int
    suffixes: tuple[str, ...] = (".ann", ".txt")


@dataclass(frozen=True)
class Archive:
    """A .tar.gz that is packed anew now and then, so that only what is in it can be verified."""

    url: str
    folders: tuple[Folder, ...]

    @property
    def name(self) -> str:
        """Return the name of the archive's file."""
        return Path(self.url).name


ASSETS = {
    # GoEmotions, Demszky et al. 2020, arXiv 2005.00547, CC BY 4.0.
    "goemotions": (
        Asset(
            "goemotions/data/train.tsv",
            "1c254a142be5c00e80d819b9ae1bbd36d94b2eeb8f4b1271846508d57e57d9c5",
            3_519_053,
            43_410,
        ),
        Asset(
            "goemotions/data/dev.tsv",
            "575489c079c9de1097062a01738f998590d6b7ead66dd1c9fd1d2ba01fd8bc62",
            439_059,
            5_426,
        ),
        Asset(
            "goemotions/data/test.tsv",
            "0587b2dd8b27b97352adbfc3fb083d46005c8946657fdc2b1ca8b1cc7f1f8be4",
            436_706,
            5_427,
        ),
        Asset(
            "goemotions/data/emotions.txt",
            "45c3ef86782d2a4d7fedcd6d8c111aa0d0e94720689bd164fac94fefb4495a89",
            248,
            28,
        ),
        Asset(
            "goemotions/data/ekman_mapping.json",
            "d6b1fea382917c1685c42e1324a0344106be9390f52a3850ce032656d103a328",
            396,
            6,
        ),
        Asset(
            "goemotions/data/sentiment_dict.json",
            "801f6f028082141bd38541a4b14d65b33bdc55d29c7b2aaa029fefecf206f76b",
            367,
            3,
        ),
    ),
    # Maas et al. 2011, Learning Word Vectors for Sentiment Analysis; for research, no licence.
    "imdb": (
        Asset(
            "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
            "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            84_125_825,
            None,
        ),
    ),
    # Derczynski et al. 2017, Novel and Emerging Entity Recognition, W17-4418, CC BY 4.0.
    "wnut17": (
        Asset(
            f"{WNUT17}/wnut17train.conll",
            "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
            493_781,
            66_124,
        ),
        Asset(
            f"{WNUT17}/emerging.dev.conll",
            "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
            114_749,
            16_742,
        ),
        Asset(
            f"{WNUT17}/emerging.test.annotated",
            "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
            192_425,
            24_681,
        ),
    ),
    # Tutorials of Explosion's projects, posts of Reddit annotated with Prodigy, MIT.
    "ner_drugs": (
        Asset(
            f"{EXPLOSION}/ner_drugs/assets/drugs_training.jsonl",
            "3925d31ffe1e474cf8a044a599ec490d9425a9a8ee9dc85c505f3e777ee1864a",
            3_502_481,
            1_477,
        ),
        Asset(
            f"{EXPLOSION}/ner_drugs/assets/drugs_eval.jsonl",
            "9deaf5e63936953fa61034d6dc11dca2814b106253ce59faf613c28e9968a892",
            1_194_647,
            500,
        ),
    ),
    "ner_fashion_brands": (
        Asset(
            f"{EXPLOSION}/ner_fashion_brands/assets/fashion_brands_training.jsonl",
            "f782cf228ab4dffa9d68a088cf32e814736629a3c9fb13475fb6bdb9a4f6140d",
            3_124_240,
            1_235,
        ),
        Asset(
            f"{EXPLOSION}/ner_fashion_brands/assets/fashion_brands_eval.jsonl",
            "4127a4f8df8095fe39651d43d66a00cdd7c4e6682638d30ee4e77f3ad6daf284",
            1_263_952,
            500,
        ),
    ),
    # ParsCit, Councill et al. 2008, LREC: references with their fields, LGPL-3.0.
    "cora": (
        Asset(
            f"{PARSCIT}/crfpp/taggeddata/cora.tagged.txt",
            "491e0eed43aed3239b3bb986a98ea5712e29de1bc604cfbc0f2b243b2e444e9f",
            133_831,
            500,
        ),
        Asset(
            f"{PARSCIT}/crfpp/taggeddata/flux-cim-cs.tagged.txt",
            "1e0aefb04341964e15e194fae01bdaff8e32bde574555dd3d6f41e0f16e53429",
            92_896,
            300,
        ),
        Asset(
            f"{PARSCIT}/doc/citeseerx.tagged.txt",
            "ed1e753ea946dd1a9345994b2e8fdc2683925b230157e60e4099dfe4d0143f8b",
            54_817,
            199,
        ),
    ),
}

ARCHIVES = {
    # AnatEM 1.0.2, Pyysalo and Ananiadou 2013, annotations CC BY-SA 3.0.
    "anatem": Archive(
        f"{ANATEM}/archive/{ANATEM_COMMIT}.tar.gz",
        (
            Folder(
                "train",
                "original-data/standoff/train",
                "daf91b678e111dc5182b67f0cfeadb641e4641ae2d4ba7aa0bdda89c2e9f64cf",
                1_212,
                1_083_199,
            ),
            Folder(
                "dev",
                "original-data/standoff/devel",
                "2b7f01072c131c99bdbaf8cacd82a709492d437c522100f076378c909fccd82d",
                404,
                394_115,
            ),
            Folder(
                "test",
                "original-data/standoff/test",
                "1247e4c4e3fdf5d11bf83444441f753539ef3e436c7f04be5b2e5bd81f829f4b",
                808,
                710_282,
            ),
        ),
    ),
}


def names_of(data: str) -> list[str]:
    """Return what assets/<data> has when it is complete; nothing if it is not listed."""
    if data in ARCHIVES:
        return [folder.name for folder in ARCHIVES[data].folders]
    names = [asset.name for asset in ASSETS.get(data, ()) if asset.rows is not None]
    return names or (["train.jsonl"] if data in ASSETS else [])  # made of an archive
