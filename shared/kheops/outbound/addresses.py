"""Which addresses of the internet may be reached for somebody who is not ours (CWE-918, server-side request forgery).

An address is reached only if it is globally reachable by the registries of IANA, and so is every IPv4 address that it
carries inside: mapped, translated and tunnelled ones lead to where the inner one leads.
"""

import ipaddress
from typing import Final

__all__ = ["IPAddress", "is_public"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        # Python's tables differ between its patch releases; what matters most stands here as well.
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local (RFC 3927), and the metadata server of every large cloud
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments, with 192.0.0.192 of Oracle's metadata server
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "168.63.129.16/32",  # Azure's platform address: public by its number, and inside
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "::/128",
        "::1/128",
        "100::/64",  # discard (RFC 6666)
        "2001::/23",  # IETF protocol assignments, with Teredo
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
        "fc00::/7",  # unique local, with fd00:ec2::254 of Amazon's and fd20:ce::254 of Google's metadata servers
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
        "64:ff9b:1::/48",  # local translation (RFC 8215): what it leads to is the operator's choice
    )
)
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")


def is_public(address: IPAddress) -> bool:
    """Return whether an address, and every IPv4 address inside it, leads to the public internet.

    Parameters
    ----------
    address
        As it is connected to. An IPv6 address with a zone is never public.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public_itself(address)
    if address.scope_id is not None:
        return False
    inner = _inner(address)
    if inner is not None:
        return _is_public_itself(inner) and (address.ipv4_mapped is not None or _may_carry(address))
    return address in _GLOBAL_UNICAST and _is_public_itself(address)


def _may_carry(address: ipaddress.IPv6Address) -> bool:
    """Return whether an address that carries another may be used at all: translated and 6to4 ones."""
    return address in _TRANSLATED or (address.sixtofour is not None and not _listed(address))


def _is_public_itself(address: IPAddress) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved and not _listed(address)


def _listed(address: IPAddress) -> bool:
    return any(address in network for network in _REFUSED if network.version == address.version)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, if it is of a kind that does."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    last = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _TRANSLATED or address in _COMPATIBLE:
        return last
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return last
    return None
