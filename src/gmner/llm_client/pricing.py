"""What a question costs: at most before it is asked, and by the usage fields once they are found believable."""

from collections.abc import Sequence
from dataclasses import dataclass

from gmner.config.teachers import Price
from gmner.llm_client.types import Message, Usage

MILLION = 1_000_000
CHARACTERS_A_TOKEN = 4  # of English text, for the estimate
_TOKENS_AROUND_A_MESSAGE = 16
_EXPECTED_OUTPUT_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Amount:
    """Dollars (None: no price is known), tokens and requests."""

    usd: float | None
    tokens: int
    requests: int = 1

    def __add__(self, other: "Amount") -> "Amount":
        usd = None if self.usd is None and other.usd is None else (self.usd or 0.0) + (other.usd or 0.0)
        return Amount(usd, self.tokens + other.tokens, self.requests + other.requests)

    def __sub__(self, other: "Amount") -> "Amount":
        usd = None if self.usd is None else self.usd - (other.usd or 0.0)
        return Amount(usd, self.tokens - other.tokens, self.requests - other.requests)


NOTHING = Amount(None, 0, 0)


def cost_of(usage: Usage, price: Price | None, *, batch: bool) -> float | None:
    """Return the dollars that an answer cost, by its usage; None where no price is known."""
    if price is None:
        return None
    plain = usage.tokens_in - usage.tokens_cached - usage.tokens_cache_written
    cached = price.input if price.cached_input is None else price.cached_input
    written = price.input if price.cache_write is None else price.cache_write
    dollars = (
        plain * price.input
        + usage.tokens_cached * cached
        + usage.tokens_cache_written * written
        + usage.tokens_out * price.output
    ) / MILLION
    return dollars * (price.batch_factor if batch else 1.0)


def doubt_of(usage: Usage, cost: float | None, bound: Amount, max_tokens: int) -> str | None:
    """Return why a provider's usage is not believable for a question with this bound, or None if it is.

    What is not believed never replaces the bound: the budget could be passed by a server that miscounts.
    """
    if usage.tokens_in < 1:
        return "it has no usable count of tokens"
    if usage.tokens_cached + usage.tokens_cache_written > usage.tokens_in:
        return "more tokens are said to be cached than were sent"
    if usage.tokens_out > max_tokens:
        return f"{usage.tokens_out} tokens were written, at most {max_tokens} were asked for"
    if usage.tokens > bound.tokens:
        return f"{usage.tokens} tokens were used, at most {bound.tokens} are possible"
    if cost is not None and cost > (bound.usd or 0.0) * (1 + 1e-9):
        return f"it comes to ${cost:.6f}, at most ${bound.usd or 0.0:.6f} is possible"
    return None


def most_of(messages: Sequence[Message], max_tokens: int, price: Price | None, *, batch: bool) -> Amount:
    """Return what a question costs at most: a token is at least one byte of text, and an answer is bounded.

    `max_tokens` bounds all that the model writes: the answer, and what it thinks before.
    """
    tokens_in = sum(
        len(message.text.encode("utf-8", "replace"))
        + _TOKENS_AROUND_A_MESSAGE
        + sum(image.most_tokens() for image in message.images)
        for message in messages
    )
    if price is None:
        return Amount(None, tokens_in + max_tokens)
    dearest = max(price.input, price.cache_write or 0.0, price.cached_input or 0.0)
    usd = (tokens_in * dearest + max_tokens * price.output) / MILLION
    return Amount(usd * (price.batch_factor if batch else 1.0), tokens_in + max_tokens)


def expected_of(messages: Sequence[Message], max_tokens: int, price: Price | None, *, batch: bool) -> Amount:
    """Return what a question may be expected to cost, without prompt caching."""
    tokens_in = sum(
        len(message.text) // CHARACTERS_A_TOKEN + 4 + sum(image.most_tokens() for image in message.images)
        for message in messages
    )
    usage = Usage(tokens_in, min(max_tokens, _EXPECTED_OUTPUT_TOKENS))
    return Amount(cost_of(usage, price, batch=batch), usage.tokens)
