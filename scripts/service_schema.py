"""What a service takes and gives: limits, the request, the answers."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from scripts.tasks import Task, What


@dataclass(frozen=True)
class Limits:
    """What one service takes.

    texts: Of a request. characters: Of a text. explained: Texts of a request that asks for words.
    size (bytes): Of a request's body.
    queue: Requests that wait; each text to explain counts as one. connections: Open ones.
    timeout (seconds): For the headers, for the body, for the answer, and for taking it.
    RAISES ValueError: One of them is not above 0.
    """

    texts: int = 256
    characters: int = 10_000
    explained: int = 8
    size: int = 1_000_000
    queue: int = 64
    connections: int = 256
    timeout: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"{name} {value}. Expected more than 0.")


def _whole(number: Any) -> Any:
    """Return 3 for 3.0: to JSON Schema both are integers."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


Whole = Annotated[int, BeforeValidator(_whole)]


class Ask(BaseModel):
    """A request, but for its texts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = Field(None, description="One of GET /models; the first if left out")
    what: What = Field("both", description="What each text gets; of models that label texts")
    top_k: Whole = Field(
        0, ge=0, description="So many scores, highest first; 0: all, by label. As for what"
    )
    explain: bool = Field(
        False, description="Add what each word does to the decided labels. As for what"
    )


class Explanation(BaseModel):
    """What each part of a text adds to the score of a label; the parts together are the text."""

    label: str
    score: float
    parts: list[tuple[str, float]]


class Entity(BaseModel):
    """A part of a text, from its first character to the one after the last."""

    start: int
    end: int
    label: str
    text: str
    confidence: float | None = Field(None, description="0 to 1; not all models have it")


class Prediction(BaseModel):
    """What is said of one text: the keys of the model's task, and no others."""

    emotions: list[str] = Field([], description="Decided labels, highest score first")
    scores: dict[str, float] = {}
    probabilities: dict[str, float] = Field({}, description="Of a calibrated pipeline")
    explanation: list[Explanation] = []
    entities: list[Entity] = []
    tokens: list[str] = []
    tags: list[str] = Field([], description="One for each token: B-label, I-label, O; or its label")
    tagged_text: str = Field("", description="The text, its parts in elements named by labels")
    target: str = Field("", description="The text that was written for it")


class Answer(BaseModel):
    """Predictions in the order of the texts."""

    model: str
    predictions: list[Prediction]


class Model(BaseModel):
    """A pipeline that is served."""

    name: str
    task: Task
    version: str
    sha256: str = Field(description="Of the pipeline's files")
    labels: list[str]
    thresholds: dict[str, float] = Field(description="Empty unless the task is textcat")


class Health(BaseModel):
    """A service that runs and has its models."""

    status: str
    models: list[str]


class Problem(BaseModel):
    """Where, what was found, what was expected."""

    error: str


def ask_within(limits: Limits) -> type[Ask]:
    """Return the request with its texts, as the limits allow them."""
    text = Annotated[str, Field(max_length=limits.characters)]
    texts = Annotated[list[text], Field(min_length=1, max_length=limits.texts)]
    fields: dict[str, Any] = {"texts": (texts, ...)}
    return create_model("Request", __base__=Ask, __doc__="Texts to predict.", **fields)
