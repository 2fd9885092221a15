"""The part of a parallel training that each worker does: spaCy's loop on a share of each batch."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from timeit import default_timer
from types import SimpleNamespace
from typing import IO, Any

import numpy
import srsly
import torch.distributed as dist
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import (
    create_before_to_disk_callback,
    create_evaluation_callback,
    subdivide_batch,
    update_meta,
)
from spacy.util import load_config, registry, resolve_dot_names
from thinc.api import constant, fix_random_seed, set_dropout_rate, set_gpu_allocator

import plugins  # noqa: F401  registers what the configs name
from scripts.evaluate_together import evaluate_together
from scripts.exchange import Exchange, gather
from scripts.files import replacing
from scripts.gpu import use_gpu
from scripts.training_state import (
    digest_of,
    optimizer_from_dict,
    optimizer_to_dict,
    parameters_of,
    random_from_list,
    random_of,
    random_to_list,
    scalers_from_list,
    scalers_of,
    scalers_to_list,
    weights_from_dict,
    weights_to_dict,
)

STATE = "state.msgpack"


class Worker:
    """One of several processes that train the same pipeline on shares of the same batches."""

    def __init__(self, config: Path, overrides: dict[str, Any], work: Path, gpu_id: int = -1):
        """Initialize the pipeline, as `spacy train` does; torch.distributed knows the others.

        work: Folder for models and state, the same for all workers.
        """
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.workers = dist.get_world_size() if dist.is_initialized() else 1
        self.work, self.gpu_id = work, gpu_id
        use_gpu(gpu_id)
        loaded = load_config(config, overrides=overrides, interpolate=False)
        self.nlp: Language = init_nlp(loaded, use_gpu=gpu_id)
        full = self.nlp.config.interpolate()
        if full["training"]["seed"] is not None:
            fix_random_seed(full["training"]["seed"])
        if gpu_id >= 0 and full["training"]["gpu_allocator"]:
            set_gpu_allocator(full["training"]["gpu_allocator"])
        self.T = registry.resolve(full["training"], schema=ConfigSchemaTraining)
        names = [self.T["train_corpus"], self.T["dev_corpus"]]
        self.train_corpus, self.dev_corpus = resolve_dot_names(full, names)
        self.optimizer = self.T["optimizer"]
        self.trained = [
            (name, component)
            for name, component in self.nlp.pipeline
            if name not in self.T["frozen_components"]
            and getattr(component, "is_trainable", False)
            and component.model not in (True, False, None)
        ]
        models = [(name, component.model) for name, component in self.trained]
        self.parameters = parameters_of(models)
        self.masks = [n.attrs["mask"] for _, m in models for n in m.walk() if "mask" in n.attrs]
        self.exchange = Exchange(self.parameters) if self.workers > 1 else None
        self.epochs: list[list[Any]] = []  # random numbers at the start of each
        self.own_random = random_to_list()
        if self.exchange:
            self.exchange.copy_weights()
            random_from_list(gather(random_to_list())[0])  # without a seed they differ
            if self.rank:  # other dropout than the first worker
                self.own_random = random_of(self.rank)

    def train(self, stdout: IO, stderr: IO) -> None:
        """Train to the end, from the last evaluation of an earlier process if there was one.

        stdout, stderr: For the logger of the config, which the first worker calls.
        """
        state = self._restored()
        if self.rank == 0:
            frozen = self.T["frozen_components"]
            with self.nlp.select_pipes(disable=frozen):
                log_step, finalize = self.T["logger"](self.nlp, stdout, stderr)
        try:
            for info, is_best in self.steps(state):
                if is_best is not None:
                    self._save(info, is_best)
                if self.rank == 0:
                    log_step(info if is_best is not None else None)
                if self.exchange and is_best is not None:
                    # A logger can end the training by this list; all workers must know.
                    info["checkpoints"][:] = gather(info["checkpoints"])[0]
        finally:
            if self.rank == 0:
                finalize()
        if self.rank == 0:
            self._save_pipeline()

    def steps(self, state: dict[str, Any] | None = None) -> Iterator[tuple[dict, bool | None]]:
        """Update until nothing improves, as spacy.training.loop.train_while_improving does.

        RETURNS: Pairs of what a logger of spaCy's gets and whether the score is the best so far,
            None if there was no evaluation.
        """
        T, optimizer = self.T, self.optimizer
        state = state or {"step": -1, "results": [], "words": 0, "seconds": 0.0}
        dropouts = constant(T["dropout"]) if isinstance(T["dropout"], float) else T["dropout"]
        done = state["step"] + 1
        for dropout in islice(dropouts, done):
            for _, component in self.trained:  # the layers are saved with it
                set_dropout_rate(component.model, dropout)
        results = [tuple(result) for result in state["results"]]
        if results and self._is_over(state["step"], results):
            return
        words, losses = state["words"], {}
        start = default_timer() - state["seconds"]
        evaluate = self._evaluation()
        for step, (epoch, batch) in enumerate(self.batches(state), done):
            if T["before_update"]:
                T["before_update"](self.nlp, {"step": step, "epoch": epoch})
            self._update(batch, next(dropouts), losses)
            optimizer.step_schedules()
            score, other_scores, is_best = None, None, None
            if step % T["eval_frequency"] == 0:
                losses = self._sum(losses)
                if optimizer.averages:
                    with self.nlp.use_params(optimizer.averages):
                        score, other_scores = evaluate()
                else:
                    score, other_scores = evaluate()
                results.append((score, step))
                is_best = score == max(results)[0]
            words += sum(len(example) for example in batch)
            yield (
                {
                    "epoch": epoch,
                    "step": step,
                    "score": score,
                    "other_scores": other_scores,
                    "losses": losses,
                    "checkpoints": results,
                    "seconds": int(default_timer() - start),
                    "words": words,
                },
                is_best,
            )
            if is_best is not None:
                losses = {}
            if self._is_over(step, results):
                return

    def _is_over(self, step: int, results: list[tuple[float, int]]) -> bool:
        best_step = -max((score, -number) for score, number in results)[1]
        patience, max_steps = self.T["patience"], self.T["max_steps"]
        return 0 < patience <= step - best_step or 0 < max_steps <= step

    def batches(self, state: dict[str, Any]) -> Iterator[tuple[int, list[Example]]]:
        """Yield epoch and batch as spaCy does, after those that an earlier process has done."""
        limit, corpus, batcher = self.T["max_epochs"], self.train_corpus, self.T["batcher"]
        examples: Any = list(corpus(self.nlp)) if limit >= 0 else None
        if limit >= 0 and not examples:
            raise ValueError("No examples to train on. Expected some in paths.train.")
        epoch, skip, earlier = 0, state["step"] + 1, state.get("epochs", [])
        self.epochs = []
        while limit < 1 or epoch != limit:
            if epoch < len(earlier):
                random_from_list(earlier[epoch])
            self.epochs.append(random_to_list())
            if limit >= 0:
                random.shuffle(examples)
            else:
                examples = corpus(self.nlp)
            for batch in batcher(examples):
                if skip:
                    skip -= 1
                    if not skip and earlier:
                        random_from_list(state["random"][0][0])
                else:
                    yield epoch, list(batch)
            epoch += 1

    def _update(self, batch: list[Example], dropout: float, losses: dict[str, float]) -> None:
        """Update on this worker's share; all workers together on the whole batch."""
        share = _share(batch, self.rank, self.workers)
        with self._own_random():
            for part in subdivide_batch(share, self.T["accumulate_gradient"]):
                self.nlp.update(
                    part,
                    drop=dropout,
                    losses=losses,
                    sgd=False,
                    exclude=self.T["frozen_components"],
                    annotates=self.T["annotating_components"],
                )
        if self.exchange:
            self.exchange.sum_gradients()
        for _, component in self.trained:
            component.finish_update(self.optimizer)

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        """Draw what one share needs without moving the numbers that all workers have in common."""
        if self.workers == 1:
            yield
            return
        common = random_to_list()
        random_from_list(self.own_random)
        yield
        self.own_random = random_to_list()
        random_from_list(common)

    def _sum(self, losses: dict[str, float]) -> dict[str, float]:
        """Return the losses of all workers together, in the order of the pipeline."""
        if self.workers == 1:
            return losses
        total: dict[str, float] = {}
        for part in gather(losses):
            for name, value in part.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def _evaluation(self) -> Callable[[], tuple[float, dict[str, float]]]:
        """Return a function that evaluates dev, each worker a share of it."""
        nlp: Any = self.nlp
        if self.workers > 1:
            nlp = SimpleNamespace(
                evaluate=partial(evaluate_together, self.nlp, self.rank, self.workers),
                pipe_names=self.nlp.pipe_names,
            )
        return create_evaluation_callback(
            nlp, lambda _: self.dev_corpus(self.nlp), self.T["score_weights"]
        )

    def _save(self, info: dict[str, Any], is_best: bool) -> None:
        """Save model and state after an evaluation, once it is sure that all workers agree."""
        numbers, digest = [random_to_list(), self.own_random], digest_of(self.parameters)
        pools = [mask.pool for mask in self.masks]
        everyone = (
            gather((numbers, digest, pools)) if self.workers > 1 else [(numbers, digest, pools)]
        )
        if len({digest for _, digest, _ in everyone}) > 1:
            raise ValueError(f"The workers' weights differ after step {info['step']}.")
        if self.rank:
            return
        with self.nlp.select_pipes(disable=self.T["frozen_components"]):
            update_meta(self.T, self.nlp, info)
        self._save_pipeline(is_best)
        info["output_path"] = str(self.work / "model-last")
        state = {
            "step": info["step"],
            "results": info["checkpoints"],
            "words": info["words"],
            "performance": self.nlp.meta["performance"],
            "seconds": info["seconds"],
            "epochs": self.epochs,
            "random": [numbers for numbers, *_ in everyone],
            "pools": [pools for *_, pools in everyone],
            "weights": weights_to_dict(self.parameters),
            "optimizer": optimizer_to_dict(self.optimizer, self.parameters),
            "scalers": scalers_to_list(scalers_of(self.parameters)),
            "cfg": {name: getattr(component, "cfg", {}) for name, component in self.trained},
        }
        with replacing(self.work / STATE) as temporary:
            srsly.write_msgpack(temporary, state)

    def _save_pipeline(self, is_best: bool = False) -> None:
        before_to_disk = create_before_to_disk_callback(self.T["before_to_disk"])
        averages = self.optimizer.averages
        with replacing(self.work / "model-last") as folder, self.nlp.use_params(averages):
            before_to_disk(self.nlp).to_disk(folder)
        if is_best:
            with replacing(self.work / "model-best") as temporary:
                shutil.copytree(self.work / "model-last", temporary)

    def _restored(self) -> dict[str, Any] | None:
        """Return the state that an earlier process left, after taking it over."""
        if not (self.work / STATE).exists():
            return None
        state = srsly.read_msgpack(self.work / STATE)
        if len(state["random"]) != self.workers:
            raise ValueError(
                f"{self.work}: a run of {len(state['random'])} workers. Expected as many."
            )
        weights_from_dict(self.parameters, state["weights"])
        optimizer_from_dict(self.optimizer, self.parameters, state["optimizer"], state["step"] + 1)
        scalers_from_list(scalers_of(self.parameters), state["scalers"])
        for mask, pool in zip(self.masks, state["pools"][self.rank], strict=True):
            mask.pool = numpy.array(pool)
        self.nlp.meta["performance"] = state["performance"]
        self.own_random = state["random"][self.rank][1]
        for name, component in self.trained:  # e.g. how far a schedule of its own has come
            getattr(component, "cfg", {}).update(state["cfg"][name])
        return state


def _share(batch: list[Example], rank: int, workers: int) -> list[Example]:
    """Return every n-th example by length, there and back, so that shares are as long."""
    ordered = sorted(batch, key=lambda example: len(example.predicted))
    turn = [*range(workers), *reversed(range(workers))]
    return [one for number, one in enumerate(ordered) if turn[number % len(turn)] == rank]
