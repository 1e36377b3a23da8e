# SPDX-License-Identifier: BSD-2-Clause
"""The names that pf.conf uses for numbers: services, protocols, ICMP types and codes (services(5), protocols(5))."""

from __future__ import annotations

PROTOCOLS: dict[str, int] = {
    "icmp": 1,
    "igmp": 2,
    "ipencap": 4,
    "tcp": 6,
    "egp": 8,
    "udp": 17,
    "ipv6": 41,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "eigrp": 88,
    "ospf": 89,
    "ipip": 94,
    "pim": 103,
    "ipcomp": 108,
    "vrrp": 112,
    "carp": 112,
    "l2tp": 115,
    "sctp": 132,
    "pfsync": 240,
}
"""Names by which /etc/protocols knows the numbers; of two names the last is the one that is printed."""

PROTOCOL_ALIASES: dict[str, int] = {"icmp6": 58, "icmpv6": 58, "ip": 0, "ipv4": 4}
TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
WITH_PORTS = (TCP, UDP, SCTP)

_NAME_OF_PROTOCOL = {number: name for name, number in PROTOCOLS.items()}

_BOTH = """
echo 7 discard 9 systat 11 daytime 13 qotd 17 chargen 19 ftp-data 20 ftp 21 ssh 22 telnet 23 smtp 25 time 37
nicname 43 tacacs 49 domain 53 bootps 67 bootpc 68 tftp 69 gopher 70 finger 79 http 80 kerberos-sec 88 pop3 110
sunrpc 111 auth 113 nntp 119 ntp 123 netbios-ns 137 netbios-dgm 138 netbios-ssn 139 imap 143 snmp 161 snmptrap 162
bgp 179 irc 194 imap3 220 ldap 389 https 443 microsoft-ds 445 kpasswd5 464 isakmp 500 rtsp 554 nntps 563
submission 587 ipp 631 ldaps 636 ftps-data 989 ftps 990 telnets 992 imaps 993 pop3s 995 socks 1080 openvpn 1194
ms-sql-s 1433 l2f 1701 pptp 1723 radius 1812 radius-acct 1813 nfsd 2049 zephyr-srv 2102 iscsi-target 3260
mysql 3306 ms-wbt-server 3389 nut 3493 svn 3690 lockd 4045 sieve 4190 epmd 4369 ipsec-nat-t 4500 rfe 5002
sip 5060 sip-tls 5061 xmpp-client 5222 xmpp-server 5269 mdns 5353 postgresql 5432 amqps 5671 amqp 5672
vnc-server 5900 couchdb 5984 x11 6000 x11-ssh 6010 ircu 6665 afs3-fileserver 7000 font-service 7100 http-alt 8080
privoxy 8118 pdl-datastream 9100 bacula-dir 9101 bacula-fd 9102 bacula-sd 9103 git 9418 zabbix-agent 10050
zabbix-trapper 10051 amanda 10080
"""
_TCP_ONLY = """
smtps 465 exec 512 login 513 shell 514 printer 515 rsync 873 domain-s 853 ircd 6667 ircs-u 6697 ftp-proxy 8021
puppet 8140 ub-dns-control 8953 jetdirect 9100 prom-sysctl 9124 cvsup 5999
"""
_UDP_ONLY = """
biff 512 who 513 syslog 514 router 520 ripng 521 vxlan 4789 ub-dns-control 8953
"""
_ALIASES = {
    "mail": 25,
    "whois": 43,
    "www": 80,
    "pop-3": 110,
    "portmap": 111,
    "rpcbind": 111,
    "ident": 113,
    "imap2": 143,
    "nfs": 2049,
    "ike": 500,
    "webcache": 8080,
    "rdp": 3389,
    "spooler": 515,
}


def _table(text: str) -> dict[int, str]:
    words = text.split()
    return {int(port): name for name, port in zip(words[::2], words[1::2], strict=True)}


_SERVICES = {"tcp": _table(_BOTH) | _table(_TCP_ONLY), "udp": _table(_BOTH) | _table(_UDP_ONLY)}
_PORTS = {name: port for table in (_SERVICES["udp"], _SERVICES["tcp"]) for port, name in table.items()} | _ALIASES


def service_name(port: int, protocol: int) -> str:
    """Give the name that pfctl prints for a port, '' for none; every protocol but tcp counts as udp."""
    return _SERVICES["tcp" if protocol == TCP else "udp"].get(port, "")


def service_port(name: str) -> int | None:
    """Give the port of a service by name, None for an unknown one."""
    return _PORTS.get(name)


def protocol_name(number: int) -> str:
    """Give a protocol's name, or its number where it has none."""
    return _NAME_OF_PROTOCOL.get(number, str(number))


def protocol_number(name: str) -> int | None:
    """Give the number of a protocol by name, None for an unknown one."""
    number = PROTOCOLS.get(name)
    return PROTOCOL_ALIASES.get(name) if number is None else number


ICMP_TYPES: dict[str, int] = {
    "echoreq": 8,
    "echorep": 0,
    "unreach": 3,
    "squench": 4,
    "redir": 5,
    "althost": 6,
    "routeradv": 9,
    "routersol": 10,
    "timex": 11,
    "paramprob": 12,
    "timereq": 13,
    "timerep": 14,
    "inforeq": 15,
    "inforep": 16,
    "maskreq": 17,
    "maskrep": 18,
    "trace": 30,
    "dataconv": 31,
    "mobredir": 32,
    "skip": 39,
    "photuris": 40,
}
ICMP6_TYPES: dict[str, int] = {
    "unreach": 1,
    "toobig": 2,
    "timex": 3,
    "paramprob": 4,
    "echoreq": 128,
    "echorep": 129,
    "groupqry": 130,
    "grouprep": 131,
    "groupterm": 132,
    "routersol": 133,
    "routeradv": 134,
    "neighbrsol": 135,
    "neighbradv": 136,
    "redir": 137,
    "routrrenum": 138,
}
ICMP_CODES: dict[tuple[int, str], int] = {
    (3, "net-unr"): 0,
    (3, "host-unr"): 1,
    (3, "proto-unr"): 2,
    (3, "port-unr"): 3,
    (3, "needfrag"): 4,
    (3, "srcfail"): 5,
    (3, "net-unk"): 6,
    (3, "host-unk"): 7,
    (3, "isolate"): 8,
    (3, "net-prohib"): 9,
    (3, "host-prohib"): 10,
    (3, "net-tos"): 11,
    (3, "host-tos"): 12,
    (3, "filter-prohib"): 13,
    (3, "host-preced"): 14,
    (3, "cutoff-preced"): 15,
    (5, "redir-net"): 0,
    (5, "redir-host"): 1,
    (11, "transit"): 0,
    (11, "reassemb"): 1,
    (12, "badhead"): 0,
    (12, "optmiss"): 1,
    (12, "badlen"): 2,
}
ICMP6_CODES: dict[tuple[int, str], int] = {
    (1, "admin-unr"): 1,
    (1, "noroute-unr"): 0,
    (1, "notnbr-unr"): 2,
    (1, "beyond-unr"): 2,
    (1, "addr-unr"): 3,
    (1, "port-unr"): 4,
    (3, "transit"): 0,
    (3, "reassemb"): 1,
    (4, "badhead"): 0,
    (4, "nxthdr"): 1,
}


def icmp_text(kind: int, code: int | None, family: int) -> str:
    """Give what pfctl prints for an ICMP type and code: ` icmp-type unreach code port-unr`."""
    six = family == 6
    types, codes = (ICMP6_TYPES, ICMP6_CODES) if six else (ICMP_TYPES, ICMP_CODES)
    name = next((text for text, number in types.items() if number == kind), str(kind))
    text = f" icmp6-type {name}" if six else f" icmp-type {name}"
    if code is None:
        return text
    code_name = next((word for (of, word), number in codes.items() if of == kind and number == code), str(code))
    return f"{text} code {code_name}"
