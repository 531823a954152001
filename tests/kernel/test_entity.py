"""Conditions and metadata, and how they cross the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.entity import UNCONDITIONAL, Condition, Metadata
from strongroom.errors import PreconditionFailedError
from strongroom.rpc import messages


@pytest.mark.parametrize(
    ("condition", "version", "holds"),
    [
        (UNCONDITIONAL, None, True),
        (UNCONDITIONAL, 3, True),
        (Condition(if_version=3), 3, True),
        (Condition(if_version=3), 4, False),
        (Condition(if_version=3), 2, False),
        (Condition(if_version=3), None, False),
        (Condition(if_absent=True), None, True),
        (Condition(if_absent=True), 1, False),
        (Condition(if_present=True), 1, True),
        (Condition(if_present=True), None, False),
        (Condition(if_one_of=(2, 3)), 3, True),
        (Condition(if_one_of=(2, 3)), 4, False),
        (Condition(if_one_of=(2, 3)), None, False),
        (Condition(if_none_of=(2, 3)), 4, True),
        (Condition(if_none_of=(2, 3)), 3, False),
        (Condition(if_none_of=(2, 3)), None, True),
        (Condition(if_present=True, if_none_of=(3,)), 3, False),
        (Condition(if_present=True, if_none_of=(3,)), 4, True),
        (Condition(if_version=0), None, False),
    ],
)
def test_a_condition_holds_or_says_what_is_there(
    condition: Condition, version: int | None, *, holds: bool
) -> None:
    """A client overwrites what it has not seen, or is refused without a reason."""
    if holds:
        condition.check(version)
    else:
        with pytest.raises(PreconditionFailedError) as refusal:
            condition.check(version)
        assert refusal.value.current_version == (version or 0)


@pytest.mark.parametrize(
    "condition",
    [
        UNCONDITIONAL,
        Condition(if_version=1),
        Condition(if_version=2**53 - 1),
        Condition(if_absent=True),
        Condition(if_present=True),
        Condition(if_one_of=(2, 3)),
        Condition(if_present=True, if_none_of=(1, 2)),
        Condition(if_version=0),
    ],
)
def test_a_condition_crosses_the_wire(condition: Condition) -> None:
    """A condition that a client sends is lost between the workers, and its write is blind."""
    assert messages.to_condition(messages.from_condition(condition)) == condition


@given(
    st.builds(
        Metadata,
        version=st.integers(0, 2**53 - 1),
        created_at=st.text(max_size=24),
        updated_at=st.text(max_size=24),
        expires_at=st.none() | st.text(min_size=1, max_size=24),
        schema_id=st.text(max_size=24),
        schema_version=st.integers(0, 2**53 - 1),
    )
)
def test_metadata_crosses_the_wire(metadata: Metadata) -> None:
    """REST shows other versions or time stamps than what is stored."""
    assert messages.to_metadata(messages.from_metadata(metadata)) == metadata
