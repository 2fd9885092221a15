"""Two wheels of this project in one process bring the same plugins from two files."""

import shutil
import subprocess
import sys

from tests.conftest import ROOT

LOAD = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import spacy
import plugins

before = set(spacy.registry.factories.get_all())
for file in sorted(Path(sys.argv[1]).glob("*.py")):
    spec = spec_from_file_location(f"copy_of_{file.stem}", file)
    spec.loader.exec_module(module_from_spec(spec))
    print(file.stem)
assert set(spacy.registry.factories.get_all()) == before
"""


def test_every_plugin_can_be_loaded_from_a_second_file(tmp_path):
    names = [path.stem for path in sorted((ROOT / "plugins").glob("*.py"))]
    names.remove("__init__")
    for name in names:
        shutil.copy(ROOT / "plugins" / f"{name}.py", tmp_path)
    # In a process of its own: the copies take the places of functions in the registry.
    command = [sys.executable, "-c", LOAD, str(tmp_path)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (found.returncode, found.stdout.split()) == (0, names), found.stderr
