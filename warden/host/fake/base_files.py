# SPDX-License-Identifier: BSD-2-Clause
"""What a fresh FreeBSD 15.1 has in its files, as far as anything here looks at them; the rest are stand-ins by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warden.host.fake.filesystem import FileSystem


def _words(text: str) -> list[str]:
    return text.split()


RC_D = _words("""
    DAEMON FILESYSTEMS LOGIN NETWORKING SERVERS adjkerntz auditd auditdistd bgfsck bridge cfumass cleanvar
    cleartmp cron ctld ddb defaultroute devd devfs devmatch dhclient dmesg dumpon fsck ftp-proxy geli geli2 ggated
    gptboot growfs growfs_fstab hostid hostid_save hostname iovctl ip6addrctl ipsec jail kld kldxref ldconfig
    linux local localpkg lockd mdconfig mdconfig2 motd mountcritlocal mountcritremote mountd mountlate msgs netif
    netoptions netwait newsyslog nfscbd nfsclient nfsd nfsuserd nisdomain noshutdown os-release pf pflog pfsync
    power_profile powerd pppoed pwcheck quota random rarpd rctl resolv root route6d routing rpcbind rtadvd rtsold
    rwho savecore securelevel serial sshd statd static_arp static_ndp stf swap swaplate sysctl sysctl_lastload
    syslogd sysvipc tlsclntd tlsservd tmp ugidfw utx var var_run virecover watchdogd ypbind ypldap yppasswdd
    ypserv ypset ypupdated ypxfrd zfs zfsbe zfsd zfskeys zpool zpoolreguid zpoolupgrade zvol
""")
"""The scripts of /etc/rc.d (session 00)."""

LOCALES = _words("""
    C C.UTF-8 POSIX af_ZA.UTF-8 am_ET.UTF-8 ar_AE.UTF-8 ar_EG.UTF-8 ar_JO.UTF-8 ar_MA.UTF-8 ar_QA.UTF-8
    ar_SA.UTF-8 be_BY.UTF-8 bg_BG.UTF-8 ca_AD.UTF-8 ca_ES.UTF-8 ca_FR.UTF-8 ca_IT.UTF-8 cs_CZ.UTF-8 da_DK.UTF-8
    de_AT.UTF-8 de_CH.UTF-8 de_DE.UTF-8 el_GR.UTF-8 en_AU.UTF-8 en_CA.UTF-8 en_GB.UTF-8 en_HK.UTF-8 en_IE.UTF-8
    en_NZ.UTF-8 en_PH.UTF-8 en_SG.UTF-8 en_US.UTF-8 en_ZA.UTF-8 es_AR.UTF-8 es_CR.UTF-8 es_ES.UTF-8 es_MX.UTF-8
    et_EE.UTF-8 eu_ES.UTF-8 fa_AF.UTF-8 fa_IR.UTF-8 fi_FI.UTF-8 fr_BE.UTF-8 fr_CA.UTF-8 fr_CH.UTF-8 fr_FR.UTF-8
    ga_IE.UTF-8 he_IL.UTF-8 hi_IN.UTF-8 hr_HR.UTF-8 hu_HU.UTF-8 hy_AM.UTF-8 is_IS.UTF-8 it_CH.UTF-8 it_IT.UTF-8
    ja_JP.UTF-8 kk_KZ.UTF-8 ko_KR.UTF-8 lt_LT.UTF-8 lv_LV.UTF-8 mn_MN.UTF-8 nb_NO.UTF-8 nl_BE.UTF-8 nl_NL.UTF-8
    nn_NO.UTF-8 pl_PL.UTF-8 pt_BR.UTF-8 pt_PT.UTF-8 ro_RO.UTF-8 ru_RU.UTF-8 se_FI.UTF-8 se_NO.UTF-8 sk_SK.UTF-8
    sl_SI.UTF-8 sr_RS.UTF-8 sr_RS.UTF-8@latin sv_FI.UTF-8 sv_SE.UTF-8 tr_TR.UTF-8 uk_UA.UTF-8 zh_CN.UTF-8
    zh_HK.UTF-8 zh_TW.UTF-8
""")
"""What `locale -a` lists (session 00); a minimal installation has the first three."""

BIN = _words("""
    [ cat chflags chio chmod cp cpuset csh date dd df domainname echo ed expr freebsd-version getfacl hostname kenv
    kill link ln ls mkdir mv nproc pax pgrep pkill ps pwait pwd realpath red rm rmdir setfacl sh sleep stty sync tcsh
    test timeout unlink uuidgen
""")

SBIN = _words("""
    adjkerntz bectl bsdlabel camcontrol clri conscontrol ddb devd devfs devmatch dhclient dhclient-script disklabel
    dmesg dump dumpfs dumpon fastboot fasthalt fdisk ffsinfo fsck fsck_4.2bsd fsck_ffs fsck_msdosfs fsck_ufs fsdb
    fsirand gbde gcache gconcat geli geom ggatec ggated ggatel gjournal glabel gmirror gmountver gmultipath gnop gpart
    graid graid3 growfs gsched gshsec gstripe gunion gvirstor halt ifconfig init ipf ipfw kldconfig kldload kldstat
    kldunload ldconfig md5 mdconfig mdmfs mknod mksnap_ffs mount mount_cd9660 mount_fusefs mount_msdosfs mount_nfs
    mount_nullfs mount_udf mount_unionfs newfs newfs_msdos nextboot nfsiod nvmecontrol pfctl pfilctl pflogd ping ping6
    quotacheck rcorder rdump reboot recoverdisk resolvconf restore rmd160 route routed rtsol savecore sha1 sha256
    sha512 shutdown swapctl swapoff swapon sysctl tunefs umount zfs zfsbootcfg zpool
""")

USR_BIN = _words("""
    apropos at basename bc bzip2 c++ calendar cc chpass clang column comm crontab csplit cut dialog dirname drill ed
    ex expand file fold fstat gunzip gzip host ident iconv indent join kdump keylogin killall ktrace last lastcomm ldd
    less lex logname look make man more mkfifo nohup openssl passwd paste patch pathchk perror procstat protect rs
    scp script sdiff seq sftp showmount split ssh ssh-add ssh-agent ssh-keygen strings systat telnet time top tput
    tr tsort tty unexpand uniq unvis unxz unzip uptime users uudecode uuencode vi vis vmstat w wall whatis whereis who
    whoami write xargs xo xz yes zcat zstd
""")

USR_SBIN = _words("""
    adduser arp bhyve bhyvectl bhyveload bsdconfig bsdinstall certctl chroot cron devctl freebsd-update fstyp gpioctl
    inetd iostat mailwrapper mixer mountd newsyslog nologin ntpd ntpdate pciconf periodic powerd pstat pwd_mkdb rmuser
    rpcbind rtadvd sendmail setfib sshd syslogd tcpdump traceroute tzsetup usbconfig vidcontrol vipw watch zic
""")
"""Programs that somebody may ask for; those that the fake host does not know are there to be refused."""

BOOT_DIRS = _words("defaults dtb efi firmware fonts images kernel loader.conf.d lua modules zfs")
BOOT = _words("""
    boot boot0 boot0sio boot1 boot1.efi boot2 cdboot device.hints gptboot gptboot.efi gptzfsboot isoboot loader
    loader.efi loader.help.bios loader.help.efi loader_4th loader_lua loader_lua.efi loader_simp loader_simp.efi mbr
    pmbr pxeboot userboot.so userboot_lua.so
""")

LIB = _words("""
    lib80211.so.1 libalias.so.7 libavl.so.2 libbegemot.so.4 libbsdxml.so.4 libc++.so.1 libc.so.7 libcam.so.8
    libcap_dns.so.2 libcap_fileargs.so.1 libcap_grp.so.1 libcap_net.so.1 libcap_netdb.so.1 libcap_pwd.so.1
    libcap_sysctl.so.2 libcap_syslog.so.1 libcasper.so.1 libcrypt.so.5 libcrypto.so.35 libctf.so.2 libcxxrt.so.1
    libdevctl.so.5 libdevstat.so.7 libdtrace.so.2 libedit.so.8 libelf.so.2 libexecinfo.so.1 libgcc_s.so.1 libgeom.so.5
    libicp.so.3 libipsec.so.4 libjail.so.1 libkiconv.so.4 libkvm.so.7 libm.so.5 libmd.so.7 libncursesw.so.9 libnv.so.1
    libnvpair.so.2 libpcap.so.9 libprocstat.so.1 librt.so.1 librtld_db.so.2 libsbuf.so.6 libspl.so.2 libssl.so.35
    libsys.so.7 libthr.so.3 libtinfow.so.9 libtpool.so.2 libufs.so.8 libulog.so.0 libumem.so.2 libutil.so.9
    libuutil.so.2 libxo.so.0 libz.so.6 libzfs.so.4 libzfs_core.so.2 libzpool.so.2 libzutil.so.3
""")

ETC_DIRS = _words("""
    X11 authpf autofs bluetooth cron.d defaults devd dma gss jail.conf.d mail mtree newsyslog.conf.d ntp pam.d periodic
    pkg ppp profile.d rc.conf.d rc.d security skel ssh ssl syslog.d sysctl.kld.d zfs
""")

ETC = _words("""
    auto_master crontab csh.cshrc csh.login csh.logout ddb.conf devd.conf devfs.conf dhclient.conf
    freebsd-update.conf ftpusers gettytab hosts.allow hosts.equiv inetd.conf libmap.conf mail.rc
    motd.template netconfig netstart network.subr networks newsyslog.conf nscd.conf ntp.conf pf.os printcap
    profile protocols pwd.db rc rc.firewall rc.resume rc.shutdown rc.subr rc.suspend rpc services spwd.db syslog.conf
    termcap.small ttys
""")

VAR_DIRS = _words("""
    account at audit authpf backups cache crash cron db empty games heimdal log mail msgs preserve run rwho spool tmp
    unbound yp
""")

MASTER = """\
root::0:0::0:0:Charlie &:/root:/bin/sh
toor:*:0:0::0:0:Bourne-again Superuser:/root:
daemon:*:1:1::0:0:Owner of many system processes:/root:/usr/sbin/nologin
operator:*:2:5::0:0:System &:/:/usr/sbin/nologin
bin:*:3:7::0:0:Binaries Commands and Source:/:/usr/sbin/nologin
tty:*:4:65533::0:0:Tty Sandbox:/:/usr/sbin/nologin
kmem:*:5:65533::0:0:KMem Sandbox:/:/usr/sbin/nologin
games:*:7:13::0:0:Games pseudo-user:/:/usr/sbin/nologin
news:*:8:8::0:0:News Subsystem:/:/usr/sbin/nologin
man:*:9:9::0:0:Mister Man Pages:/usr/share/man:/usr/sbin/nologin
sshd:*:22:22::0:0:Secure Shell Daemon:/var/empty:/usr/sbin/nologin
smmsp:*:25:25::0:0:Sendmail Submission User:/var/spool/clientmqueue:/usr/sbin/nologin
mailnull:*:26:26::0:0:Sendmail Default User:/var/spool/mqueue:/usr/sbin/nologin
bind:*:53:53::0:0:Bind Sandbox:/:/usr/sbin/nologin
unbound:*:59:59::0:0:Unbound DNS Resolver:/var/unbound:/usr/sbin/nologin
proxy:*:62:62::0:0:Packet Filter pseudo-user:/nonexistent:/usr/sbin/nologin
_pflogd:*:64:64::0:0:pflogd privsep user:/var/empty:/usr/sbin/nologin
_dhcp:*:65:65::0:0:dhcp programs:/var/empty:/usr/sbin/nologin
uucp:*:66:66::0:0:UUCP pseudo-user:/var/spool/uucppublic:/usr/local/libexec/uucp/uucico
pop:*:68:6::0:0:Post Office Owner:/nonexistent:/usr/sbin/nologin
auditdistd:*:78:77::0:0:Auditdistd unprivileged user:/var/empty:/usr/sbin/nologin
www:*:80:80::0:0:World Wide Web Owner:/nonexistent:/usr/sbin/nologin
ntpd:*:123:123::0:0:NTP Daemon:/var/db/ntp:/usr/sbin/nologin
_ypldap:*:160:160::0:0:YP LDAP unprivileged user:/var/empty:/usr/sbin/nologin
hast:*:845:845::0:0:HAST unprivileged user:/var/empty:/usr/sbin/nologin
tests:*:977:977::0:0:Unprivileged user for tests:/nonexistent:/usr/sbin/nologin
nobody:*:65534:65534::0:0:Unprivileged user:/nonexistent:/usr/sbin/nologin
"""

GROUP = """\
wheel:*:0:root
daemon:*:1:
kmem:*:2:
sys:*:3:
tty:*:4:
operator:*:5:root
mail:*:6:
bin:*:7:
news:*:8:
man:*:9:
games:*:13:
ftp:*:14:
staff:*:20:
sshd:*:22:
smmsp:*:25:
mailnull:*:26:
guest:*:31:
video:*:44:
realtime:*:47:
idletime:*:48:
bind:*:53:
unbound:*:59:
proxy:*:62:
authpf:*:63:
_pflogd:*:64:
_dhcp:*:65:
uucp:*:66:
dialer:*:68:
network:*:69:
audit:*:77:
www:*:80:
u2f:*:116:
ntpd:*:123:
_ypldap:*:160:
hast:*:845:
tests:*:977:
nogroup:*:65533:
nobody:*:65534:
"""

COPYRIGHT = b"Copyright (c) 1992-2026 The FreeBSD Project.\n".ljust(6070, b"\n")
"""A stand-in of the real file's size."""

ETC_FILES = {
    "group": GROUP,
    "hosts": "::1\t\t\tlocalhost localhost.my.domain\n127.0.0.1\t\tlocalhost localhost.my.domain\n",
    "login.conf": "default:\\\n\t:charset=UTF-8:\\\n\t:lang=C.UTF-8:\\\n\t:umask=022:\n",
    "nsswitch.conf": "group: files\nhosts: files dns\npasswd: files\nshells: files\n",
    "shells": "/bin/sh\n/bin/csh\n/bin/tcsh\n",
    "sysctl.conf": "# See sysctl(8) for details.\n",
}


def passwd_of(master: str) -> str:
    """Give /etc/passwd as pwd_mkdb(8) makes it from /etc/master.passwd: no hashes, no class and no times."""
    rows = [line.split(":") for line in master.splitlines()]
    return "".join(":".join([row[0], "*", row[2], row[3], *row[7:10]]) + "\n" for row in rows)


FOLDERS = {
    "": _words("bin boot dev etc lib libexec media mnt net proc rescue root sbin tmp usr var"),
    "boot": BOOT_DIRS,
    "etc": ETC_DIRS,
    "lib": ["casper", "geom"],
    "libexec": ["resolvconf"],
    "usr": _words("bin include lib libdata libexec local sbin share src"),
    "usr/share": ["locale", "misc", "skel"],
    "var": VAR_DIRS,
    "var/run": _words("bhyve dhclient ppp wpa_supplicant"),
    "var/db": ["etcupdate", "ntp", "pkg"],
    "var/spool": ["clientmqueue"],
}
"""The folders that there are, by the folder that they are in."""

MODES = {"dev": 0o555, "proc": 0o555, "root": 0o750, "tmp": 0o1777, "var/tmp": 0o1777, "var/empty": 0o555}

STAND_INS = (
    ("bin", BIN, 0o555),
    ("boot", BOOT, 0o555),
    ("etc", ETC, 0o644),
    ("lib", LIB, 0o444),
    ("libexec", _words("flua ld-elf.so.1 ld-elf32.so.1 nuageinit"), 0o555),
    ("root", _words(".cshrc .k5login .login .profile .shrc"), 0o644),
    ("sbin", SBIN, 0o555),
    ("usr/bin", USR_BIN, 0o555),
    ("usr/sbin", USR_SBIN, 0o555),
)
"""Empty files that are only there to be found: folder, names, mode."""


def install_base(files: FileSystem, top: str = "") -> None:
    """Put FreeBSD's own files below `top`: on the host ('') or into a release that jails are made from."""
    for folder, names in FOLDERS.items():
        for name in names:
            path = f"{folder}/{name}".lstrip("/")
            files.make_dir(f"{top}/{path}", mode=MODES.get(path, 0o755))
    for folder, names, mode in STAND_INS:
        for name in names:
            files.write(f"{top}/{folder}/{name}", b"", mode=mode)
    for name in RC_D:
        files.write(f"{top}/etc/rc.d/{name}", f"#!/bin/sh\n\n# PROVIDE: {name}\n".encode(), mode=0o555)
    files.write(f"{top}/COPYRIGHT", COPYRIGHT, mode=0o444)
    files.symlink("../var/run/os-release", f"{top}/etc/os-release")
    files.symlink("/usr/share/misc/termcap", f"{top}/etc/termcap")
    for name, text in ETC_FILES.items():
        files.write(f"{top}/etc/{name}", text.encode())
    files.write(f"{top}/etc/master.passwd", MASTER.encode(), mode=0o600)
    files.write(f"{top}/etc/passwd", passwd_of(MASTER).encode())
