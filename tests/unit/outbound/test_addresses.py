"""Which addresses may be reached for somebody who is not ours."""

import ipaddress

import pytest

from kheops.outbound.addresses import is_public

REFUSED = {
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "loopback": "127.0.0.1",
    "the end of loopback": "127.255.255.254",
    "private 10": "10.1.2.3",
    "private 172": "172.16.0.1",
    "the end of private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "Alibaba's metadata, in carrier-grade NAT": "100.100.100.200",
    "link-local": "169.254.1.1",
    "metadata": "169.254.169.254",
    "Oracle's metadata": "192.0.0.192",
    "Azure's platform": "168.63.129.16",
    "protocol assignments": "192.0.0.1",
    "documentation": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "benchmarking": "198.18.0.1",
    "6to4 relay": "192.88.99.1",
    "multicast": "224.0.0.1",
    "global multicast": "233.1.2.3",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "unspecified 6": "::",
    "loopback 6": "::1",
    "link-local 6": "fe80::1",
    "link-local 6 with a zone": "fe80::1%eth0",
    "public 6 with a zone": "2606:4700::1%eth0",
    "site-local 6": "fec0::1",
    "unique local": "fd00::1",
    "Amazon's metadata 6": "fd00:ec2::254",
    "Google's metadata 6": "fd20:ce::254",
    "multicast 6": "ff02::1",
    "global multicast 6": "ff0e::1",
    "documentation 6": "2001:db8::1",
    "documentation 6, the new": "3fff::1",
    "discard": "100::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "segment routing": "5f00::1",
    "unassigned": "4000::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped metadata": "::ffff:169.254.169.254",
    "mapped private": "::ffff:10.0.0.1",
    "compatible loopback": "::127.0.0.1",
    "compatible public": "::8.8.8.8",
    "translated loopback": "64:ff9b::127.0.0.1",
    "translated metadata": "64:ff9b::a9fe:a9fe",
    "locally translated": "64:ff9b:1::8.8.8.8",
    "6to4 of private": "2002:a00:1::1",
    "6to4 of loopback": "2002:7f00:1::1",
    "ISATAP of private": "2606:4700::5efe:10.0.0.1",
    "ISATAP of metadata, global bit": "2606:4700::200:5efe:169.254.169.254",
}
REACHED = {
    "public": "8.8.8.8",
    "before private 172": "172.15.255.255",
    "after private 172": "172.32.0.1",
    "before carrier-grade NAT": "100.63.255.255",
    "after carrier-grade NAT": "100.128.0.1",
    "public 6": "2606:4700:4700::1111",
    "mapped public": "::ffff:8.8.8.8",
    "translated public": "64:ff9b::8.8.8.8",
    "6to4 of public": "2002:808:808::1",
}


@pytest.mark.parametrize("address", REFUSED.values(), ids=REFUSED.keys())
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", REACHED.values(), ids=REACHED.keys())
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
