"""From assets to the numbers again: what is planned, what is run, what is said of the result."""

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scripts.compose import compose
from scripts.files import hash_of
from scripts.reproduce import NOTES, code_hash, is_done, main, prepare, reproduce
from scripts.reproduce_check import check, verdict
from scripts.reproduce_plan import Sources, Step, chosen, plan
from tests.conftest import ROOT

METRICS = Path("metrics/goemotions")


def write_run(name, macro=0.5, command=None, parts=(), config="cnn", training=None):
    """Write metrics of a run in the working folder; a name that ends in .test for those of test."""
    run = name.removesuffix(".test")
    command = command or f"python -m scripts.experiment {config} --data goemotions --name {run}"
    result = {
        "docs": 600,
        "macro_f1": macro,
        "micro_f1": macro + 0.1,
        "docs_per_second": 10.0,
        "conditions": {"training": {"seconds": 120, **(training or {})}},
        "experiment": {
            "command": command,
            "config": f"configs/{config}.cfg",
            "data": "goemotions",
            "parts": list(parts),
        },
    }
    METRICS.mkdir(parents=True, exist_ok=True)
    (METRICS / f"{name}.json").write_text(json.dumps(result))
    return result


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project folder with the real configs and no metrics."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for folder in ("plugins", "scripts", "benchmarks"):
        (tmp_path / folder).mkdir()
    return tmp_path


def fake(commands, fails=""):
    """Return a runner that writes what a command is asked for; one that has a word in it fails."""

    def run(command, work):
        commands.append(list(command))
        if fails and fails in command:
            return 3
        words = dict(pairwise(command))
        if "scripts.experiment" in command:
            suffix = ".test" if "--test" in command else ""
            made = METRICS / f"{words['--name']}{suffix}.json"
            (work / made).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made, work / made)
        elif "scripts.assets" in command:
            (work / "assets" / "goemotions").mkdir(parents=True)
        else:
            (work / "corpus" / "goemotions").mkdir(parents=True)
        return 0

    return run


def names_of(steps):
    return [step.name for step in steps]


# The plan -----------------------------------------------------------------------------------------


def test_a_run_comes_after_its_data_and_its_models():
    write_run("bert-seed0.test", config="bert")
    steps = plan(["bert-seed0"], METRICS, Sources(mirror=Path("mine")))
    assert names_of(steps) == [
        "assets goemotions",
        "preprocess goemotions",
        "models minilm",
        "bert-seed0",
    ]
    assert steps[0].command[3:] == ("goemotions", "--mirror", str(Path("mine").resolve()))
    assert steps[1].command[3:] == ("assets/goemotions", "corpus/goemotions")
    assert steps[3].command[-1] == "--force"
    assert steps[3].output == "metrics/goemotions/bert-seed0.test.json"
    assert steps[3].minutes == pytest.approx((120 + 3 * 600 / 10) / 60 + 1)


def test_pretrained_weights_come_from_what_the_json_of_pretraining_says():
    weights = "training/goemotions/cnn/pretrained/model-best.bin"
    command = f"python -m scripts.experiment cnn --name cnn-lmao --paths.init_tok2vec {weights}"
    write_run("cnn-lmao.test", command=command)
    overrides = {
        "paths.raw_text": "corpus/raw/goemotions.jsonl.gz",
        "paths.vectors": "assets/models/en_core_web_md",
        "pretraining.n_save_epoch": 1,
    }
    epochs = [{"seconds": 60.0}, {"seconds": 30.0}]
    found = {"config": "configs/cnn.cfg", "overrides": overrides, "epochs": epochs}
    (METRICS / "pretraining_cnn.json").write_text(json.dumps(found))
    steps = {step.name: step for step in plan(["cnn-lmao"], METRICS)}
    order = list(steps)
    assert order[-2:] == ["pretrain cnn", "cnn-lmao"]
    assert {"raw_text goemotions", "models en_core_web_md"} < set(order[:-2])
    pretrain = steps["pretrain cnn"]
    assert pretrain.minutes == 1.5
    assert pretrain.command[3:5] == ("configs/cnn.cfg", "training/goemotions/cnn/pretrained")
    assert pretrain.command[-2:] == ("--pretraining.n_save_epoch", "1")
    assert steps["raw_text goemotions"].lacks == "--raw"
    steps = {step.name: step for step in plan(["cnn-lmao"], METRICS, Sources(raw=Path("r.txt")))}
    assert steps["raw_text goemotions"].lacks == ""
    assert str(Path("r.txt").resolve()) in steps["raw_text goemotions"].command


def test_a_student_comes_after_soft_labels_and_these_after_all_teachers():
    parts = ["labels=soft", "distil=cnn"]
    write_run("cnn-distilled-seed0.test", parts=parts)
    for seed in (0, 1):
        write_run(f"teacher-seed{seed}", config="bert")
    steps = plan(["cnn-distilled-seed0"], METRICS, Sources(raw=Path("raw.jsonl")))
    assert names_of(steps) == [
        "assets goemotions",
        "preprocess goemotions",
        "models minilm",
        "teacher-seed0",
        "faster teacher-seed0",
        "teacher-seed1",
        "faster teacher-seed1",
        "soft_labels goemotions",
        "cnn-distilled-seed0",
    ]
    soft = steps[-2]
    teachers = [f"training/goemotions/teacher-seed{seed}/fast" for seed in (0, 1)]
    assert list(soft.command[3:6]) == ["corpus/goemotions-soft", *teachers]
    assert soft.output == "corpus/goemotions-soft/soft.jsonl.gz"
    assert soft.minutes == pytest.approx(2 * 203_410 / 17_000)
    assert "--test" not in steps[3].command and steps[3].output.endswith("teacher-seed0.json")


def test_each_step_is_there_once():
    for seed in (0, 1):
        write_run(f"cnn-seed{seed}.test")
    names = names_of(plan(["cnn-seed0", "cnn-seed1"], METRICS))
    assert names == ["assets goemotions", "preprocess goemotions", "cnn-seed0", "cnn-seed1"]


def test_a_config_that_is_another_now_is_said():
    file = Path("configs/cnn.cfg")
    training = {"config": "configs/cnn.cfg", "config_file_sha256": hash_of(file)}
    write_run("cnn.test", training=training)
    assert plan(["cnn"], METRICS)[-1].note == ""
    file.write_text(file.read_text() + "\n# more\n")
    assert plan(["cnn"], METRICS)[-1].note == "configs/cnn.cfg has changed since"


def test_a_part_that_is_another_now_is_said():
    part = Path("configs/groups/debug/limit.cfg")
    text = compose(["model=cnn", "data=goemotions", "debug=limit"])
    sha256 = hashlib.sha256(text.encode("utf8")).hexdigest()
    training = {"config": "training/goemotions/cnn.cfg", "config_file_sha256": sha256}
    write_run("cnn.test", training=training, parts=["debug=limit"])
    assert plan(["cnn"], METRICS)[-1].note == ""
    part.write_text("# more\n" + part.read_text())
    assert plan(["cnn"], METRICS)[-1].note == "configs/cnn.cfg debug=limit has changed since"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("python -m scripts.experiment cnn --paths.vectors corpus/other", "corpus/other: nothing"),
        (
            "python -m scripts.experiment cnn --x training/goemotions/cnn/pipeline",
            "cnn needs itself",
        ),
        (
            "python -m scripts.experiment cnn --x training/goemotions/b/pipeline",
            r"goemotions/b\.json: no such metrics",
        ),
        (
            "python -m scripts.experiment cnn --x training/goemotions/b/pretrained/x",
            r"pretraining_b\.json: no such file",
        ),
        (
            "python -m scripts.experiment cnn --x corpus/goemotions-soft/soft.jsonl.gz",
            r"no teacher-seed\*\.json",
        ),
    ],
)
def test_what_nothing_makes_is_named(command, message):
    write_run("cnn.test", command=command)
    with pytest.raises(ValueError, match=message):
        plan(["cnn"], METRICS)


def test_metrics_without_a_command_are_named():
    result = write_run("cnn.test")
    del result["experiment"]
    (METRICS / "cnn.test.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match=r"cnn\.test\.json: no command"):
        plan(["cnn"], METRICS)


def test_runs_are_chosen_with_or_without_their_seeds():
    for name in ("cnn-seed0", "cnn-seed1", "cnn-lmao-seed0", "tfidf"):
        write_run(f"{name}.test")
    write_run("cnn-seed2")
    assert chosen(["cnn"], METRICS) == ["cnn-seed0", "cnn-seed1"]
    assert chosen(["cnn-seed1", "tfidf"], METRICS) == ["cnn-seed1", "tfidf"]
    assert chosen([], METRICS) == ["cnn-lmao-seed0", "cnn-seed0", "cnn-seed1", "tfidf"]
    with pytest.raises(ValueError, match=r"no test metrics of bert\. Expected cnn, cnn-lmao, "):
        chosen(["bert"], METRICS)


def test_every_number_of_the_committed_table_has_a_way_to_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    runs = chosen([], METRICS)
    steps = plan(runs, METRICS, Sources(raw=Path("raw.jsonl.gz")))
    assert len(runs) >= 19 and set(runs) < set(names_of(steps))
    assert not [step.name for step in steps if step.lacks]
    made = set()
    for step in steps:  # a file is made before it is read
        read = {word for word in step.command if word.startswith(("corpus/", "training/"))}
        for word in read - {step.output, step.output.rpartition("/")[0]}:
            assert any(f"{word}/".startswith(f"{output}/") or output.startswith(word)
                       for output in made), (step.name, word)  # fmt: skip
        made |= {step.output, f"training/goemotions/{step.name}/pipeline"}


# The way ------------------------------------------------------------------------------------------


def test_steps_are_run_in_a_copy_of_the_code_and_metrics_stay_as_they_are(project):
    write_run("cnn-seed0.test", command="python -m scripts.experiment cnn --name cnn-seed0 --test")
    before, commands = hash_of(METRICS), []
    work = project / "work"
    steps = plan(["cnn-seed0"], METRICS)
    assert reproduce(steps, work, fake(commands)) == 3
    assert [command[2] for command in commands] == [
        "scripts.assets",
        "scripts.preprocess",
        "scripts.experiment",
    ]
    assert hash_of(METRICS) == before
    assert hash_of(work / "configs") == hash_of(Path("configs"))
    assert all(is_done(step, work) for step in steps)
    assert reproduce(steps, work, fake(commands)) == 0 and len(commands) == 3


def test_after_a_failure_what_is_done_is_not_done_again(project):
    write_run("cnn-seed0.test", command="python -m scripts.experiment cnn --name cnn-seed0 --test")
    commands, work = [], project / "work"
    steps = plan(["cnn-seed0"], METRICS)
    with pytest.raises(ValueError, match=r"cnn-seed0: exit code 3\..*run again"):
        reproduce(steps, work, fake(commands, fails="scripts.experiment"))
    assert reproduce(steps, work, fake(commands)) == 1
    assert [command[2] for command in commands][2:] == ["scripts.experiment"] * 2
    shutil.rmtree(work / "corpus")
    assert not is_done(steps[1], work)
    assert reproduce(steps, work, fake(commands)) == 1


def test_a_step_that_writes_nothing_is_named(project):
    steps = [Step("one", ("python", "-m", "x"), "corpus/x", 1)]
    with pytest.raises(ValueError, match="one: no corpus/x"):
        reproduce(steps, project / "work", lambda *_: 0)


def test_an_option_that_is_lacking_is_named_before_any_work(project):
    steps = [Step("one", ("x",), "x", 1), Step("raw", ("y",), "y", 1, lacks="--raw")]
    with pytest.raises(ValueError, match=r"raw needs a file of yours\. Expected --raw FILE"):
        reproduce(steps, project / "work", lambda *_: 0)
    assert not (project / "work").exists()


def test_other_code_and_folders_of_something_else_are_refused(project):
    work = project / "work"
    prepare([], work)
    prepare([], work)
    Path("configs/cnn.cfg").write_text("other")
    with pytest.raises(ValueError, match="work was made by other code"):
        prepare([], work)
    with pytest.raises(ValueError, match="configs is not empty"):
        prepare([], project / "configs")


def test_a_copy_that_was_cut_short_is_made_again(project):
    work = project / "work"
    (work / "configs").mkdir(parents=True)
    (work / NOTES).write_text(json.dumps({"code": "", "done": {}}))
    prepare([], work)
    assert code_hash(work) == code_hash(project)


def test_the_code_is_known_by_names_and_contents_without_what_python_keeps(project):
    before = code_hash(project)
    (project / "configs" / "__pycache__").mkdir()
    (project / "configs" / "__pycache__" / "x.pyc").write_text("x")
    assert code_hash(project) == before
    (project / "configs" / "new.cfg").write_text("")
    assert code_hash(project) != before


def test_own_files_and_models_that_are_here_are_taken_along(project):
    for folder in ("assets/mine", "assets/models/minilm", "assets/goemotions"):
        Path(folder).mkdir(parents=True)
        Path(folder, "x").write_text(folder)
    steps = [
        Step("assets goemotions", (), "assets/goemotions", 1),
        Step("preprocess mine", ("python", "-m", "p", "assets/mine"), "corpus/mine", 1),
        Step("preprocess goemotions", ("python", "-m", "p", "assets/goemotions"), "corpus/x", 1),
        Step("models minilm", (), "assets/models/minilm", 1),
    ]
    prepare(steps, project / "work")
    found = [path.parent.name for path in sorted((project / "work" / "assets").rglob("x"))]
    assert found == ["mine", "minilm"]


# The result ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (0.0004, "equal"),
        (-0.0009, "within the spread of seeds"),
        (0.0011, "within 0.02"),
        (-0.0199, "within 0.02"),
        (0.0201, "different: by more than 0.02"),
        (-0.0201, "different: by more than 0.02"),
    ],
)
def test_a_verdict_goes_by_the_difference_and_the_spread(gap, expected):
    assert verdict(gap, 0.001, 0.02) == expected


def test_runs_are_compared_with_what_is_committed(project):
    for seed, macro in enumerate((0.50, 0.52)):
        write_run(f"cnn-seed{seed}.test", macro)
    write_run("cnn-other.test", 0.1)
    work = project / "work"
    shutil.copytree("metrics", work / "metrics")
    result = write_run("cnn-seed0.test", 0.51)
    (work / METRICS / "cnn-seed0.test.json").write_text(json.dumps({**result, "micro_f1": 0.59}))
    write_run("cnn-seed0.test", 0.5)
    (work / METRICS / "cnn-other.test.json").unlink()
    rows = check(["cnn-seed0", "cnn-seed1", "cnn-other"], METRICS, work, 0.02)
    assert list(rows) == ["cnn-seed0", "cnn-seed1"]
    assert rows["cnn-seed0"] == {
        "committed": "0.500",
        "now": "0.510",
        "difference": "+0.0100",
        "verdict": "within the spread of seeds",
        "largest of other scores": "micro-F1 -0.0100",
    }
    assert rows["cnn-seed1"]["verdict"] == "equal"


def test_the_command_prints_the_plan_and_fails_on_another_result(project):
    app = typer.Typer()
    app.command()(main)
    write_run("cnn-seed0.test")
    found = CliRunner().invoke(app, ["cnn"])
    assert found.exit_code == 0 and not Path("training").exists()
    assert "7.0 min  in all" in found.stdout and "scripts.preprocess" in found.stdout
    shutil.copytree("metrics", "training/reproduced/metrics")
    assert "verdict equal" in CliRunner().invoke(app, ["cnn"]).stdout
    write_run("cnn-seed0.test", 0.53)
    found = CliRunner().invoke(app, ["cnn"])
    assert found.exit_code == 1 and "different: by more than 0.02" in found.stdout
    assert CliRunner().invoke(app, ["cnn", "--tolerance", "0.05"]).exit_code == 0
    assert CliRunner().invoke(app, ["bert"]).exit_code == 1
