"""Which network addresses webhooks may go to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_METADATA = (
    ip_network("fd00:ec2::/32"),  # AWS: instance metadata and its neighbours
    ip_network("fd20:ce::254/128"),  # Google Cloud
    ip_network("100.100.100.200/32"),  # Alibaba Cloud
    ip_network("168.63.129.16/32"),  # Azure
    ip_network("192.0.0.192/32"),  # Oracle Cloud
)
_NAT64 = IPv6Network("64:ff9b::/96")


def refusal(text: str) -> str | None:
    """Why no webhook may go to an address, or None if it may.

    Loopback and private addresses are allowed: in a cluster every service has one.

    Args:
        text: an IP address; a zone after `%` is ignored.
    """
    address = _reached(ip_address(text.partition("%")[0]))
    if address.is_link_local:
        return "a link-local address"
    if any(address.version == network.version and address in network for network in _METADATA):
        return "a cloud's metadata service"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or address == IPv4Address("255.255.255.255"):
        return "no host's address"
    return None


def _reached(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
