"""Pretraining objective as a component, learned beside the task and left out of what is saved."""

import copy
from collections.abc import Callable, Iterable, Iterator

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate


def make_pretraining_objective(
    nlp: Language,
    name: str,
    objective: Callable[[Vocab, Model], Model],
    component: str = "tok2vec",
    layer: str = "",
    loss_scale: float = 1.0,
) -> "PretrainingObjective":
    """Make a component that trains the encoder of another one on the text of all examples.

    objective: As in [pretraining.objective], e.g. goemotions.PretrainLMAO.v1.
    component: Whose encoder to train; it must come after this one, because spaCy updates the
        weights of each component before it comes to the next.
    layer: Reference of the encoder in its model, "" for the model itself.
    loss_scale: Of the gradient, against that of the task.
    """
    return PretrainingObjective(nlp, name, objective, component, layer, loss_scale)


try:
    Language.factory(
        "pretraining_objective",
        assigns=[],
        default_score_weights={},
        func=make_pretraining_objective,
    )
except ValueError as error:
    # Another wheel of this project brought it; spaCy refuses it from a second file.
    if "E004" not in str(error):
        raise


class PretrainingObjective(TrainablePipe):
    """Update a shared encoder from raw text; it predicts nothing and is not for use afterwards."""

    def __init__(
        self,
        nlp: Language,
        name: str,
        objective: Callable[[Vocab, Model], Model],
        component: str,
        layer: str,
        loss_scale: float,
    ):
        """Take what make_pretraining_objective was given; the model is built at initialize()."""
        self.vocab, self.name = nlp.vocab, name
        self.cfg = {"component": component, "layer": layer, "loss_scale": loss_scale}
        self.objective = objective
        self.model: Model = Model("uninitialized", lambda model, X, is_train: (X, lambda dY: dY))

    def initialize(
        self, get_examples: Callable[[], Iterable[Example]], *, nlp: Language | None = None
    ) -> None:
        """Build the objective over the encoder of the other component.

        RAISES ValueError: There is no such component after this one, or no such layer.
        """
        names = nlp.pipe_names if nlp is not None else []
        later = names[names.index(self.name) + 1 :] if self.name in names else names
        if self.cfg["component"] not in later:
            raise ValueError(
                f"{self.name}: no component {self.cfg['component']!r} to train. Expected it in "
                f"nlp.pipeline after {self.name}; found {later}."
            )
        encoder = nlp.get_pipe(self.cfg["component"]).model
        encoder = encoder.get_ref(self.cfg["layer"]) if self.cfg["layer"] else encoder
        self.model = self.objective(self.vocab, encoder)
        self.model.initialize(X=[example.reference for example in _first(get_examples(), 10)])

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Add the gradient of the objective to the encoder's, from all texts with words."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        docs = [example.reference for example in examples if len(example.reference)]
        if not docs:
            return losses
        set_dropout_rate(self.model, drop)
        prediction, backprop = self.model.begin_update(docs)
        loss, gradient = self.model.attrs["loss"](self.model.ops, docs, prediction)
        backprop(gradient * self.cfg["loss_scale"])
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += float(loss)
        return losses

    def use_params(self, params: dict) -> Iterator[None]:
        """Use averages for the layers of the objective; the encoder is left to its own component.

        spaCy opens these contexts in turn and closes them in the same order, so a second backup of
        the encoder would be one of its averages.
        """
        with self.model.get_ref("output_layer").use_params(params):
            yield

    def predict(self, docs: Iterable[Doc]) -> None:
        """Predict nothing."""

    def set_annotations(self, docs: Iterable[Doc], scores: None) -> None:
        """Set nothing."""

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the layers of the objective; the encoder is updated by its own component."""
        self.model.get_ref("output_layer").finish_update(sgd)


@registry.callbacks("goemotions.drop_components.v1")
def create_drop_components(names: list[str]) -> Callable[[Language], Language]:
    """Create a callback for `[training] before_to_disk` that leaves components out.

    names: Of components that serve training alone.
    RETURNS: A function from the pipeline to one without them; training goes on with all.
    RAISES ValueError: The pipeline has no component of such a name.
    """

    def drop(nlp: Language) -> Language:
        missing = [name for name in names if name not in nlp.component_names]
        if missing:
            raise ValueError(f"No component {missing[0]!r} to drop. Found {nlp.component_names}.")
        kept = copy.copy(nlp)
        kept._components = [pair for pair in nlp._components if pair[0] not in names]
        return kept

    return drop


def _first(examples: Iterable[Example], size: int) -> list[Example]:
    return [example for example, _ in zip(examples, range(size), strict=False)]
