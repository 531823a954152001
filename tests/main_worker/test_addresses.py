"""Which address a request comes from: nobody chooses it, and a host has one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain.addresses import UNKNOWN, Origin, network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5000", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:5000", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", UNKNOWN),
        ("unix:/run/socket", UNKNOWN),
        ("192.0.2.256", UNKNOWN),
    ],
)
def test_addresses_of_one_host_count_as_one(peer: str, network: str) -> None:
    """A host with IPv6 has 2^64 addresses to fail from."""
    assert network_of(Origin(peer), 0) == network


@pytest.mark.parametrize(
    ("forwarded_for", "proxies", "network"),
    [
        ("203.0.113.9", 0, "192.0.2.1"),
        ("203.0.113.9", 1, "203.0.113.9"),
        ("10.9.9.9, 203.0.113.9", 1, "203.0.113.9"),
        ("10.9.9.9,203.0.113.9 , 198.51.100.7", 2, "203.0.113.9"),
        ("[2001:db8::1]:443", 1, "2001:db8::/64"),
        ("203.0.113.9", 2, "192.0.2.1"),
        ("", 1, "192.0.2.1"),
        ("not an address", 1, "192.0.2.1"),
        ("203.0.113.9, ", 1, "192.0.2.1"),
    ],
)
def test_forwarded_addresses_are_believed_of_trusted_proxies(
    forwarded_for: str, proxies: int, network: str
) -> None:
    """A header chooses the address that failures are counted for; or a proxy's own address is."""
    assert network_of(Origin("192.0.2.1", forwarded_for), proxies) == network


@given(invented=st.text(max_size=50), proxies=st.integers(1, 3))
def test_what_a_client_writes_into_the_header_changes_nothing(invented: str, proxies: int) -> None:
    """Each request may come from another address, if its client likes."""
    appended = ", ".join(["203.0.113.9", "10.0.0.1", "10.0.0.2"][:proxies])
    origin = Origin("10.0.0.3", f"{invented}, {appended}")
    assert network_of(origin, proxies) == "203.0.113.9"
