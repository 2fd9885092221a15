"""Callback that starts a training from the weights of an earlier one."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.util import logger, registry
from thinc.api import Model, PyTorchShim

# What a layer may have otherwise, though its weights mean the same.
MAY_DIFFER = {"dropout_rate", "flush_cache_chance", "grad_factor", "is_enabled", "misses", "name"}
MAY_DIFFER |= {"rate", "seed"}


@registry.callbacks("goemotions.resume.v1")
def create_resume(
    path: Path, components: list[str] | None = None
) -> Callable[[Language], Language]:
    """Create an [initialize.after_init] callback that takes the weights of a trained pipeline.

    Nothing else is taken: settings, labels and vocabulary are those of the config. The optimizer
    and the count of steps begin anew, and with them schedules.

    path: Folder of the pipeline: model-last, model-best, or a copy of TopKCheckpoints.
    components: Which to take; None takes all that are trained.
    RETURNS: A function that changes the pipeline in place and returns it.
    RAISES ValueError: When it is called: no such folder, or a component that it has not, or has
        with other labels, layers or shapes; names what differs.
    """

    def resume(nlp: Language) -> Language:
        if not (Path(path) / "meta.json").is_file():
            raise ValueError(f"goemotions.resume.v1: no pipeline at {path}. Expected its folder.")
        names = _trained(nlp) if components is None else components
        mine, other = _with_weights(nlp), _with_weights(spacy.load(path))
        for where, there in (("The pipeline to train", mine), (path, other)):
            if lacking := [name for name in names if name not in there]:
                has = ", ".join(there) or "none"
                raise ValueError(f"{where}: no component {lacking[0]} in {has}. Expected it.")
        for name in names:  # all before any is changed
            _check(f"{path}: {name}", mine[name], other[name])
        for name in names:
            _copy(mine[name].model, other[name].model)
        logger.warning(
            "Weights of %s are those of %s. The optimizer and the count of steps begin anew; to go "
            "on exactly where a killed training was: scripts.train_parallel --workers 1 --resume",
            ", ".join(names),
            path,
        )
        return nlp

    return resume


def _trained(nlp: Language) -> list[str]:
    frozen = nlp.config.interpolate()["training"]["frozen_components"]
    components = _with_weights(nlp).items()
    return [name for name, one in components if one.is_trainable and name not in frozen]


def _with_weights(nlp: Language) -> dict[str, Any]:
    """Return the components that have a model, those that are switched off as well."""
    return {
        name: one for name, one in nlp.components if isinstance(getattr(one, "model", None), Model)
    }


def _check(where: str, mine: Any, other: Any) -> None:
    """Raise ValueError unless weights of the one component mean the same in the other."""
    labels = [_numbered("label", getattr(one, "labels", ())) for one in (mine, other)]
    _compare(where, *labels)
    layers = [list(one.model.walk()) for one in (mine, other)]
    names = [_numbered("layer", (layer.name for layer in one)) for one in layers]
    _compare(where, *names)
    for number, pair in enumerate(zip(*layers, strict=True)):
        _compare(f"{where}, layer {number}, {pair[0].name[:40]}", *map(_facts, pair))


def _compare(where: str, mine: dict[str, Any], other: dict[str, Any]) -> None:
    for key in mine | other:
        here, there = (str(one.get(key, "nothing"))[:80] for one in (mine, other))
        if mine.get(key) != other.get(key):
            raise ValueError(f"{where}: {key} is {here} here, {there} there. Expected the same.")


def _facts(layer: Model) -> dict[str, Any]:
    """Return the shapes of all weights, and the settings that are saved with them."""
    facts: dict[str, Any] = {}
    for name, value in layer.attrs.items():
        if name not in MAY_DIFFER:
            with suppress(TypeError):  # functions and the like are not saved
                value = json.loads(json.dumps(value))
                if isinstance(value, list):
                    facts |= _numbered(name, value)
                elif isinstance(value, dict):
                    facts |= {f"{name} {key}": one for key, one in value.items()}
                else:
                    facts[name] = value
    for name in layer.param_names:
        facts[name] = layer.get_param(name).shape if layer.has_param(name) else None
    for number, network in enumerate(_networks(layer)):
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        facts |= {f"{number}/{name}": shape for name, shape in shapes.items()}
    return facts


def _copy(mine: Model, other: Model) -> None:
    """Copy weights in place, as the optimizer and other components know the layers."""
    for here, there in zip(mine.walk(), other.walk(), strict=True):
        for name in here.param_names:
            if there.has_param(name):
                here.set_param(name, here.ops.asarray(there.get_param(name)))
        for network, source in zip(_networks(here), _networks(there), strict=True):
            network.load_state_dict(source.state_dict())
        if "seed" in there.attrs:  # by which hashes find their rows
            here.attrs["seed"] = there.attrs["seed"]


def _networks(layer: Model) -> list[torch.nn.Module]:
    return [shim._model for shim in layer.shims if isinstance(shim, PyTorchShim)]


def _numbered(what: str, values: Iterable[Any]) -> dict[str, Any]:
    return {f"{what} {number}": value for number, value in enumerate(values)}
