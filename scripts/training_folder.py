"""A folder for a training that appears only when the training is complete."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wasabi import msg

from scripts.files import hash_of, remove, replacing


@contextmanager
def training_folder(
    config: Path, output: Path, **conditions: Any
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a folder to train into and the facts that training.json will hold.

    An earlier training in `output` stays until the block ends; its files are replaced as a whole.
    After an error or Ctrl-C what was scored until then is in <output>.unfinished.

    config: What is trained.
    output: Folder for model-best, model-last and whatever else the block writes; each pipeline
        in it gets a training.json too.
    conditions: Facts to note: overrides and the like.
    RETURNS: Facts are filled when the block ends: seconds, config, its hash and the conditions.
    """
    facts: dict[str, Any] = {}
    start = time.perf_counter()
    with replacing(output) as folder:
        folder.mkdir()
        try:
            yield folder, facts
        except BaseException:
            _keep_unfinished(folder, output)
            raise
        facts["seconds"] = round(time.perf_counter() - start, 1)
        facts["config"] = config.as_posix()
        facts["config_file_sha256"] = hash_of(config)
        facts |= conditions
        write_facts(folder, facts)


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write training.json into the folder of a training and into each pipeline there."""
    pipelines = [*folder.glob("*/meta.json"), *folder.glob("*/*/meta.json")]
    for part in (folder, *(file.parent for file in pipelines)):
        (part / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf8")


def _keep_unfinished(temporary: Path, output: Path) -> None:
    """Leave what an interrupted training has learned beside the output, if it was ever scored."""
    if (temporary / "model-best").exists():
        kept = output.with_name(f"{output.name}.unfinished")
        remove(kept)
        temporary.rename(kept)
        msg.warn(f"Training stopped early; its models until then: {kept}")
