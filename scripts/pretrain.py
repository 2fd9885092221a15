"""Pretrain the encoder of a config on raw text; keep the weights that did best on held-out text."""

import heapq
import json
import random
import time
from collections.abc import Iterator
from hashlib import blake2b, sha256
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.language import Language
from spacy.schemas import ConfigSchemaPretrain
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.pretrain import create_pretraining_model, ensure_docs, make_update
from spacy.util import dot_to_object, load_config, load_model_from_config, minibatch, registry
from thinc.api import Config, Model, Optimizer, fix_random_seed, set_gpu_allocator
from tqdm import tqdm
from wasabi import msg

from scripts.check_config import check_config, check_inputs
from scripts.files import check_output, hash_of, remove, replacing
from scripts.gpu import use_gpu
from scripts.plots import plot_pretraining
from scripts.train import with_dashes

ONE_IN = 50  # texts is held out
MOST_HELD_OUT = 2_000  # texts


class Pretraining:
    """An encoder with its objective, and all that a later process needs to go on from here."""

    def __init__(self, config: Config):
        """Build the model and what feeds it.

        config: Interpolated, with a [pretraining] block.
        """
        config["initialize"]["init_tok2vec"] = None  # made here
        fix_random_seed(config["training"]["seed"])
        self.nlp: Language = load_model_from_config(config, auto_fill=True)
        config = self.nlp.config.interpolate()
        settings = registry.resolve(config["pretraining"], schema=ConfigSchemaPretrain)
        corpus = dot_to_object(config, settings["corpus"])
        self.corpus = registry.resolve({"corpus": corpus})["corpus"]
        self.batcher = settings["batcher"]
        self.optimizer: Optimizer = settings["optimizer"]
        self.words: int | None = None  # of an epoch, once that is known
        self.model: Model = create_pretraining_model(self.nlp, settings)
        ops = self.model.get_ref("tok2vec").ops
        for layer in self.model.walk():  # those of the objective as those of the pipeline
            if type(layer.ops) is type(ops):
                layer.ops = ops

    def epoch(self, title: str) -> dict[str, float]:
        """Update on all texts but the held-out ones, then measure on these.

        RETURNS: words and seconds of the updates, their mean loss, and the held-out loss.
        """
        held: list[tuple[int, int, Doc]] = []
        losses, words, start = [], 0, time.perf_counter()
        with tqdm(desc=title, unit=" words", total=self.words, mininterval=1) as bar:
            for batch in self.batcher(hold_out(self.corpus(self.nlp), held)):
                docs = ensure_docs(batch)
                update = make_update(self.model, docs, self.optimizer, self.model.attrs["loss"])
                self.optimizer.step_schedules()  # spaCy's own loop never does
                losses.append(update)
                words += sum(map(len, docs))
                bar.update(sum(map(len, docs)))
        seconds, self.words = time.perf_counter() - start, words
        if not losses or not held:
            raise ValueError(
                f"{words} words to learn from, {len(held)} texts held out. Expected more text."
            )
        if not numpy.isfinite(losses).all():
            raise ValueError("The loss is no number any more. Expected a lower learn rate.")
        return {
            "words": words,
            "seconds": round(seconds, 3),
            "loss": float(numpy.mean(losses)),
            "held_out_loss": self.measure([doc for *_, doc in sorted(held, key=lambda x: x[:2])]),
        }

    def measure(self, docs: list[Doc]) -> float:
        """Return the mean loss over batches of docs, the same words hidden each time."""
        before, losses = numpy.random.get_state(), []
        numpy.random.seed(0)
        with self.model.use_params(self.optimizer.averages):
            for batch in minibatch(docs, 64):
                prediction = self.model(list(batch), is_train=False)[0]
                loss, _ = self.model.attrs["loss"](self.model.ops, list(batch), prediction)
                losses.append(float(loss))
        numpy.random.set_state(before)
        return float(numpy.mean(losses))

    def weights(self, part: str) -> bytes:
        """Return the weights of tok2vec or output_layer, averaged if the optimizer does that."""
        with self.model.use_params(self.optimizer.averages):
            return self.model.get_ref(part).to_bytes()

    def state(self) -> dict[str, Any]:
        """Return weights, optimizer and random numbers, in the types of msgpack."""
        optimizer, numbers = self.optimizer, self._numbers()
        kept = {}
        for name in ("mom1", "mom2", "averages", "nr_update", "last_seen"):
            values = getattr(optimizer, name) or {}
            kept[name] = [[numbers[key[0]], key[1], value] for key, value in values.items()]
        steps = max(optimizer.nr_update.values(), default=0)
        params = [[n, name, array] for (n, name), array in self._params().items()]
        pool = getattr(self.model.attrs.get("mask"), "pool", None)
        return {"optimizer": kept, "steps": steps, "params": params, "pool": pool, "rng": _rng()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` returned, in this process or another."""
        nodes, optimizer = list(self.model.walk()), self.optimizer
        for number, name, array in state["params"]:
            nodes[number].set_param(name, nodes[number].ops.xp.array(array))
        for attribute, rows in state["optimizer"].items():
            for number, name, value in rows:  # counts, or arrays that msgpack made read-only
                mine = nodes[number].ops.xp.array(value) if numpy.ndim(value) else value
                getattr(optimizer, attribute)[nodes[number].id, name] = mine
        for _ in range(state["steps"]):
            optimizer.step_schedules()
        if state["pool"] is not None:
            self.model.attrs["mask"].pool = numpy.array(state["pool"])
        version, numbers, gauss = state["rng"]["random"]
        random.setstate((version, tuple(numbers), gauss))
        numpy.random.set_state(tuple(state["rng"]["numpy"]))

    def _numbers(self) -> dict[int, int]:
        return {node.id: number for number, node in enumerate(self.model.walk())}

    def _params(self) -> dict[tuple[int, str], Any]:
        nodes = enumerate(self.model.walk())
        return {
            (number, name): node.get_param(name)
            for number, node in nodes
            for name in node.param_names
            if node.has_param(name)
        }


def pretrain(
    config: Path, output: Path, *, gpu_id: int = -1, overrides: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Train the layer that [pretraining] names to guess what is missing from raw text.

    One text in 50, chosen by its hash, is not trained on; the epoch with the lowest loss on these
    is model-best.bin. A long text is cut first, and its pieces count as texts. Each epoch is saved
    beside the output: after a kill the same call goes on from there, unless config, vectors or text
    have changed. On the CPU PretrainLMAO comes to the same bytes; the objectives of spaCy draw
    words from a cache that is not saved.

    config: With a [pretraining] block, and a corpus with a path.
    output: Folder for model-best.bin, model-last.bin, objective-best.bin (of the layers that train
        drops), log.jsonl, curve.png and manifest.json, and model1.bin and so on if
        pretraining.n_save_epoch says so; an earlier one stays until this one is complete.
    overrides: Config values by dotted key.
    RETURNS: What manifest.json holds: best_epoch, epochs, words_per_second, hashes.
    RAISES ValueError: A bad key, file or row, no [pretraining], too little text, a diverged loss.
    """
    overrides = dict(overrides or {})
    check_config(config, overrides)
    facts = _facts(config, overrides)
    check_inputs(config, overrides, corpus=False)
    check_output(output, "pretraining", ["manifest.json", "model-best.bin"], [Path(facts["text"])])
    use_gpu(gpu_id)
    if gpu_id >= 0 and facts["gpu_allocator"]:
        set_gpu_allocator(facts["gpu_allocator"])
    work = output.with_name(f".{output.name}.partial")
    try:
        training = Pretraining(load_config(config, overrides=overrides, interpolate=True))
    except KeyError as error:
        raise ValueError(
            f"{config}: [pretraining] component {facts['component']!r} and layer "
            f"{facts['layer']!r} do not exist ({error}). Expected those of an encoder."
        ) from error
    epochs = _resume(training, work, facts)
    total = training.nlp.config["pretraining"]["max_epochs"]
    for number in range(len(epochs) + 1, total + 1):
        epochs.append({"epoch": number, **training.epoch(f"epoch {number} of {total}")})
        _save(training, work, facts, epochs)
    manifest = _finish(work, facts, epochs)
    with replacing(output) as temporary:
        work.rename(temporary)
    return manifest


def hold_out(examples: Iterator[Example], held: list) -> Iterator[Example]:
    """Yield the examples to learn from; put docs to measure on into a heap, those of lowest hash.

    held: Becomes (-hash, number, doc) of at most 2,000 docs, one in 50.
    """
    numbers = count()
    for example in examples:
        text = example.reference.text.encode("utf8", "surrogatepass")
        digest = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
        if digest % ONE_IN:
            yield example
            continue
        push = heapq.heappush if len(held) < MOST_HELD_OUT else heapq.heappushpop
        push(held, (-digest, next(numbers), example.reference))


def _facts(config: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies a run: the same facts on the same text give the same weights."""
    whole = load_config(config, overrides=overrides, interpolate=True)
    settings = whole.get("pretraining")
    if not settings:
        raise ValueError(f"{config} has no [pretraining]. Expected one, as in configs/cnn.cfg.")
    if settings.get("n_save_every") or settings.get("max_epochs", 1) < 1:
        raise ValueError(
            f"{config}: [pretraining] n_save_every {settings.get('n_save_every')}, max_epochs "
            f"{settings.get('max_epochs')}. Expected null, whole epochs are saved, and 1 or more."
        )
    start = whole.get("initialize", {}).get("init_tok2vec")
    if start:
        raise ValueError(
            f"{config}: initialize.init_tok2vec {start}. Expected null: pretraining starts from "
            "nothing; what it writes is for training to start from."
        )
    vectors = str(whole.get("initialize", {}).get("vectors") or "")
    path = dot_to_object(whole, settings.get("corpus", "corpora.pretrain")).get("path")
    if not path or not Path(path).exists():
        raise ValueError(
            f"{config}: no raw text{f' at {path}' * bool(path)}. Expected --paths.raw_text with a "
            "file; python -m scripts.raw_text makes one."
        )
    return {
        "config": config.as_posix(),
        "config_sha256": sha256(whole.to_str().encode("utf8")).hexdigest(),
        "overrides": overrides,
        "text": Path(path).as_posix(),
        "text_sha256": hash_of(Path(path)),
        "vectors": vectors,
        "vectors_sha256": hash_of(folder) if (folder := Path(vectors) / "vocab").exists() else "",
        "component": settings.get("component"),
        "layer": settings.get("layer"),
        "objective": settings["objective"],
        "gpu_allocator": whole["training"].get("gpu_allocator"),
    }


def _resume(training: Pretraining, work: Path, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the epochs that an earlier process finished, after taking over its state."""
    saved = work / "state.msgpack"
    if saved.exists():
        state = srsly.read_msgpack(saved)
        if state["facts"] == json.loads(json.dumps(facts)):
            training.restore(state["training"])
            msg.info(f"Going on after epoch {len(state['epochs'])}: {work}")
            return state["epochs"]
        msg.warn(f"{work} is of another config or text and is not used")
    remove(work)
    work.mkdir(parents=True)
    return []


def _save(
    training: Pretraining, work: Path, facts: dict[str, Any], epochs: list[dict[str, Any]]
) -> None:
    """Write the weights of this epoch, then the state that says it is done."""
    weights, number = training.weights("tok2vec"), epochs[-1]["epoch"]
    files = {"model-last.bin": weights}
    every = training.nlp.config["pretraining"].get("n_save_epoch")
    if every and number % every == 0:
        files[f"model{number}.bin"] = weights
    if epochs[-1] is best_of(epochs):
        files["model-best.bin"] = weights
        files["objective-best.bin"] = training.weights("output_layer")
    for name, content in files.items():
        with replacing(work / name) as temporary:
            temporary.write_bytes(content)
    with replacing(work / "state.msgpack") as temporary:
        state = {"facts": facts, "epochs": epochs, "training": training.state()}
        srsly.write_msgpack(temporary, state)


def best_of(epochs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the epoch with the lowest held-out loss; the first of equal ones."""
    return min(epochs, key=lambda epoch: epoch["held_out_loss"])


def _finish(work: Path, facts: dict[str, Any], epochs: list[dict[str, Any]]) -> dict[str, Any]:
    manifest = {
        **facts,
        "best_epoch": best_of(epochs)["epoch"],
        "held_out_loss": best_of(epochs)["held_out_loss"],
        "words_per_second": round(
            sum(epoch["words"] for epoch in epochs) / sum(epoch["seconds"] for epoch in epochs)
        ),
        "model_best_sha256": hash_of(work / "model-best.bin"),
        "epochs": epochs,
    }
    (work / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf8")
    srsly.write_jsonl(work / "log.jsonl", epochs)
    plot_pretraining(epochs, work / "curve.png")
    (work / "state.msgpack").unlink()
    return manifest


def _rng() -> dict[str, Any]:
    return {"random": random.getstate(), "numpy": list(numpy.random.get_state())}


def main(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config", exists=True, dir_okay=False)],
    output: Annotated[Path, typer.Argument(help="Folder for model-best.bin and its manifest")],
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Pretrain on raw text; further options override the config, e.g. --paths.raw_text x.jsonl."""
    try:
        overrides = parse_config_overrides(with_dashes(ctx.args))
        manifest = pretrain(config, output, gpu_id=gpu_id, overrides=overrides)
    except ValueError as error:
        msg.fail("Cannot pretrain", str(error), exits=1)
    for row in manifest["epochs"]:
        best = "  <- model-best.bin" if row["epoch"] == manifest["best_epoch"] else ""
        print(f"epoch {row['epoch']}: held-out loss {row['held_out_loss']:.4f}{best}")
    use = f"train with --paths.init_tok2vec {output / 'model-best.bin'}"
    msg.good(f"{manifest['words_per_second']} words/s; {use}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
