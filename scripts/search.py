"""Search the settings of a config on Ray Tune: random, on a grid, or with Optuna."""

import functools
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.util import load_config
from wasabi import msg

from scripts.check_config import check_config, check_inputs
from scripts.files import hash_of, remove
from scripts.on_ray import connected
from scripts.search_report import report_search
from scripts.space import Plan, Setting, read_plan
from scripts.trial import overrides_of, run_trial


def search(
    file: Path,
    output: Path,
    *,
    state: Path,
    concurrent: int | None = None,
    cores: int = 1,
    gpus: float = 0,
    address: str = "local",
) -> list[dict[str, Any]]:
    """Run every trial of a search and report them; after a kill the same call goes on.

    Trials that were done stay, those that were cut short or failed begin again. A changed file,
    config or corpus begins a new search.

    file: As in configs/search/lmao.yml.
    output: Folder for results.csv, summary.json, tables.md and trials.png; each is replaced.
    state: Folder for what Ray Tune, Optuna and pretraining need to go on. Trials on other machines
        must see it, and the project, under the same path.
    concurrent: Trials at a time, two if None; a cluster runs as many as it has room for.
    cores, gpus: What each trial gets.
    address: Of a Ray cluster; "local" starts one for this search on this machine.
    RETURNS: A row per trial, as in results.csv.
    RAISES ValueError: A bad search, key, file or value, an interrupted search, or only failures.
    """
    if concurrent and address != "local":
        raise ValueError(
            f"concurrent {concurrent} with a cluster, which runs what it has room for."
        )
    plan = read_plan(file)
    check_plan(file, plan)
    state = (state / _identity(plan, file)).resolve()
    rows = []
    resources = {"cpu": cores, "gpu": gpus}
    with connected(address, concurrent or 2, resources):
        for number, arm in enumerate(plan.arm_values()):
            msg.info(f"{plan.arms} = {arm}" if plan.arms else f"{file}")
            rows += _search_arm(plan, number, arm, state, resources)
            report_search(plan, rows, output)
    remove(state / "work")
    failed = [row for row in rows if row["status"] == "failed"]
    if len(failed) == len(rows):
        raise ValueError(
            f"All {len(rows)} trials failed, the first one with: {rows[0]['error']} Run it again "
            "to try them again."
        )
    return rows


def check_plan(file: Path, plan: Plan) -> None:
    """Raise ValueError if the config does not take the settings of a search."""
    if not plan.config.is_file():
        raise ValueError(f"{file}: config {plan.config}: no such file.")
    first: dict[str, Any] = {}
    for key, setting in plan.settings.items():
        first[key] = (setting.choices() or setting.range)[0]
    drawn = plan.resolved(first)
    for overrides in (overrides_of(plan, drawn), {**plan.overrides, **drawn, **plan.final}):
        check_config(plan.config, overrides)
    check_inputs(plan.config, overrides_of(plan, drawn))
    config = load_config(plan.config, overrides=overrides_of(plan, drawn), interpolate=True)
    chosen = [name for name, weight in config["training"]["score_weights"].items() if weight]
    if plan.final and chosen != [plan.metric]:
        raise ValueError(
            f"{file}: checkpoints are chosen by {', '.join(chosen)} (training.score_weights), the "
            f"metric is {plan.metric}. Expected the same, as `final` scores the checkpoint."
        )


def _identity(plan: Plan, file: Path) -> str:
    """Return a name for the search of this file, config and corpus."""
    config = load_config(plan.config, overrides=plan.overrides, interpolate=True)
    paths = [file, plan.config, *(Path(str(path)) for path in config.get("paths", {}).values())]
    facts = [hash_of(path) for path in paths if path.exists()]
    return sha256(json.dumps(facts).encode("utf8")).hexdigest()[:12]


def _search_arm(
    plan: Plan, number: int, arm: Any, state: Path, resources: dict[str, float]
) -> list[dict[str, Any]]:
    """Run or go on with the trials of one arm, and return their rows."""
    from ray import tune

    run = functools.partial(_run, plan=plan, arm=arm, state=state, gpu=bool(resources["gpu"]))
    trainable = tune.with_resources(_named(run), resources)
    folder = state / f"arm-{number}"
    total = _size_of(plan)
    if tune.Tuner.can_restore(str(folder)):
        tuner = tune.Tuner.restore(
            str(folder), trainable, resume_unfinished=True, resume_errored=True
        )
    else:
        remove(folder)
        tuner = tune.Tuner(
            trainable,
            param_space=_domains(plan) if plan.method != "optuna" else None,
            tune_config=_tune_config(plan),
            run_config=tune.RunConfig(
                name=folder.name,
                storage_path=str(state),
                verbose=0,
                callbacks=[_progress(plan, total)],
            ),
        )
    try:
        results = tuner.fit()
    except KeyboardInterrupt:
        raise ValueError("Interrupted. Run it again to go on.") from None
    # Of a trial that never reported, a result knows not even the settings; its trial does.
    trials = results._experiment_analysis.trials
    in_order = sorted(trials, key=lambda trial: trial.trial_id.rpartition("_")[2])
    rows = [_row(plan, arm, trial, state) for trial in in_order]
    done = sum(row["status"] != "unfinished" for row in rows)
    if done < total:
        raise ValueError(f"Ended after {done} of {total} trials. Run it again to go on.")
    return rows


def _run(settings: dict[str, Any], *, plan: Plan, arm: Any, state: Path, gpu: bool) -> None:
    """Be one trial, in a process of Ray's."""
    from ray import tune

    drawn = {**settings, plan.arms: arm} if plan.arms else dict(settings)
    work = state / "work"
    try:
        work.mkdir(parents=True, exist_ok=True)
        best = run_trial(
            plan,
            plan.resolved(drawn),
            tune.report,
            pretrained=state / "pretrained",
            work=work,
            gpu_id=0 if gpu else -1,
        )
    except Exception as error:
        # Ray Tune forgets the reason when a search is gone on with.
        note = _error_of(state, tune.get_context().get_trial_id())
        note.parent.mkdir(exist_ok=True)
        note.write_text(f"{type(error).__name__}: {error}", encoding="utf8")
        raise
    tune.report({**best, "finished": True})


def _error_of(state: Path, trial_id: str) -> Path:
    return state / "errors" / f"{trial_id}.txt"


def _named(run: functools.partial) -> Callable:
    def trial(settings: dict[str, Any]) -> None:
        run(settings)

    return trial


def _size_of(plan: Plan) -> int:
    if plan.method != "grid":
        return plan.trials
    size = 1
    for key, setting in plan.settings.items():
        size *= 1 if key == plan.arms else len(setting.choices() or [])
    return size


def _domains(plan: Plan) -> dict[str, Any]:
    """Return the settings but that of the arms as Ray Tune wants them."""
    drawn = {key: setting for key, setting in plan.settings.items() if key != plan.arms}
    return {key: _domain(setting, plan.method == "grid") for key, setting in drawn.items()}


def _domain(setting: Setting, is_grid: bool) -> Any:
    from ray import tune

    choices = setting.choices()
    if choices is not None and setting.kind != "integers":
        return tune.grid_search(choices) if is_grid else tune.choice(choices)
    low, high = setting.range
    if setting.kind == "integers":
        return tune.grid_search(choices) if is_grid else tune.randint(low, high + 1)
    return (tune.loguniform if setting.kind == "loguniform" else tune.uniform)(low, high)


def _tune_config(plan: Plan) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.basic_variant import BasicVariantGenerator

    scheduler = None
    if plan.stop:
        scheduler = ASHAScheduler(
            max_t=10**6, grace_period=plan.stop["grace"], reduction_factor=plan.stop["factor"]
        )
    algorithm: Any = BasicVariantGenerator(random_state=plan.seed)
    if plan.method == "optuna":
        from ray.tune.search.optuna import OptunaSearch

        algorithm = OptunaSearch(_domains(plan), metric="score", mode="max", seed=plan.seed)
    return tune.TuneConfig(
        metric="score",
        mode="max",
        search_alg=algorithm,
        scheduler=scheduler,
        num_samples=1 if plan.method == "grid" else plan.trials,
        reuse_actors=True,
    )


def _progress(plan: Plan, total: int) -> Any:
    from ray.tune import Callback

    class Progress(Callback):
        """Print a line for each trial that ends."""

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **_: Any) -> None:
            self.line(trials, trial, "done" if trial.last_result.get("finished") else "stopped")

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **_: Any) -> None:
            self.line(trials, trial, "failed")

        def line(self, trials: list, trial: Any, how: str) -> None:
            scores = [other.last_result.get("score", 0) for other in trials if other.last_result]
            ended = sum(other is trial or other.is_finished() for other in trials)
            score = (trial.last_result or {}).get("score")
            drawn = ", ".join(f"{k.split('.')[-1]} {_short(v)}" for k, v in trial.config.items())
            shown = "no score" if score is None else f"{plan.metric} {score:.4f}"
            best = max(scores, default=0)
            print(f"{ended} of {total}, best {best:.4f} | {how}, {shown} | {drawn}", flush=True)

    return Progress()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _row(plan: Plan, arm: Any, trial: Any, state: Path) -> dict[str, Any]:
    """Return what results.csv says of a trial of Ray Tune."""
    metrics = trial.last_result or {}
    drawn = {**trial.config, plan.arms: arm} if plan.arms else dict(trial.config)
    ended = "finished" if metrics.get("finished") else "stopped"
    status = {"TERMINATED": ended, "ERROR": "failed"}.get(trial.status, "unfinished")
    note, error = _error_of(state, trial.trial_id), ""
    if status == "failed":
        error = note.read_text("utf8") if note.exists() else "The process of the trial ended."
    return {
        "trial": trial.trial_id,
        "status": status,
        **plan.resolved({key: drawn[key] for key in plan.settings}),
        "evaluations": metrics.get("evaluations", 0),
        "step": metrics.get("best_step", 0),
        "score": metrics.get("score"),
        "final_score": metrics.get("final_score"),
        "seconds": round(metrics.get("time_total_s", 0), 1),
        "error": " ".join(error.split())[:500],
    }


def main(
    file: Annotated[Path, typer.Argument(help="Search, e.g. configs/search/lmao.yml", exists=True)],
    output: Annotated[Path | None, typer.Option(help="Default: metrics/search/<name>")] = None,
    state: Annotated[Path | None, typer.Option(help="Default: training/search/<name>")] = None,
    concurrent: Annotated[
        int | None, typer.Option(help="Trials at a time on this machine, default 2", min=1)
    ] = None,
    cores: Annotated[int, typer.Option(help="CPU cores per trial", min=1)] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs per trial, 0.5 lets two share one", min=0)] = 0,
    address: Annotated[str, typer.Option(help="Of a Ray cluster; auto finds it")] = "local",
) -> None:
    """Search settings of a config; run it again after a kill and it goes on."""
    output = output or Path("metrics") / "search" / file.stem
    state = state or Path("training") / "search" / file.stem
    try:
        rows = search(
            file,
            output,
            state=state,
            concurrent=concurrent,
            cores=cores,
            gpus=gpus,
            address=address,
        )
    except ValueError as error:
        msg.fail("The search is not complete", str(error), exits=1)
    print((output / "tables.md").read_text(encoding="utf8"))
    msg.good(f"{len(rows)} trials: {output}")


if __name__ == "__main__":
    typer.run(main)
