"""Load the pipelines of a service and give them names."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.files import hash_of
from scripts.find_model import name_of
from scripts.predictor import Predictor
from scripts.service_schema import Model


@dataclass(frozen=True)
class Served:
    """A pipeline that is served, and the SHA-256 of its files."""

    predictor: Predictor
    sha256: str

    def describe(self, name: str) -> Model:
        """Return what GET /models says of it."""
        return Model(
            name=name,
            task=self.predictor.task,
            version=str(self.predictor.nlp.meta["version"]),
            sha256=self.sha256,
            labels=self.predictor.labels,
            thresholds=self.predictor.thresholds,
        )


def load_served(
    models: Sequence[str], *, names: Sequence[str] = (), characters: int, gpu_id: int = -1
) -> dict[str, Served]:
    """Load pipelines.

    models: As scripts.find_model takes them.
    names: One for each, or none: then training/goemotions/cnn/pipeline is goemotions/cnn.
    characters: Of the longest text that each must take.
    RETURNS: By name, in the order given.
    RAISES ValueError: A pipeline is missing, damaged, without thresholds, or takes less; a name is
        there twice.
    """
    if names and len(names) != len(models):
        raise ValueError(f"{len(names)} names of {len(models)} models. Expected one for each.")
    chosen = list(names) or [name_of(model) for model in models]
    twice = {name for name in chosen if chosen.count(name) > 1}
    if twice or not all(chosen):
        raise ValueError(f"Names of models {chosen}. Expected each once; choose with --name.")
    served = {}
    for name, model in zip(chosen, models, strict=True):
        predictor = Predictor(model, gpu_id=gpu_id)
        if characters > predictor.nlp.max_length:
            found = f"{model}: takes texts of {predictor.nlp.max_length} characters"
            raise ValueError(f"{found}. Expected {characters}, or a smaller --max-characters.")
        served[name] = Served(predictor, hash_of(predictor.folder))
    return served
