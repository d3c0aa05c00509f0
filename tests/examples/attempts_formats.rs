//! The example `attempts`: each shape of a line is read right, or reported with a reason.
//!
//! The shapes are those of each system's logger and of each message of OpenSSH, with made-up
//! values.

use crate::program::Program;

const PROGRAM: Program = Program { example: "attempts" };

/// What comes of a log.
enum Expected {
    /// This many failed logins of 192.0.2.1 or 2001:db8::1, at the account `ana`.
    Failed(u32),
    /// A failed login of this client, at no account.
    FailedAlone(&'static str),
    /// A failed login of 192.0.2.1 at the account `root`.
    FailedAtRoot,
    /// The lines are read, and are no failed logins.
    NoFailure,
    /// This many connections ended before a login, and are reported as that.
    Ended(u32),
    /// The line is reported as unread, and so is this reason. The exit status is 1 if no line of
    /// `sshd` is read.
    Unread(&'static str, i32),
    /// The line is reported as malformed, with this reason, and nothing is read.
    Malformed(&'static str),
}
use Expected::{Ended, Failed, FailedAlone, FailedAtRoot, Malformed, NoFailure, Unread};

const OTHER_PROGRAM: Expected = Unread("another program than sshd, or has an unknown header", 1);

const HEADERS: &[(&str, &str, Expected)] = &[
    ("Debian", "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2", Failed(1)),
    (
        "Debian, rsyslog since 12",
        "2026-06-09T03:11:02.250001+02:00 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "OpenSSH 9.8",
        "Jun  9 03:11:02 gate sshd-session[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "OpenSSH 10",
        "Jun  9 03:11:02 gate sshd-auth[7]: Failed password for ana from 2001:db8::1 port 4 ssh2",
        Failed(1),
    ),
    (
        "without a process",
        "Jun  9 03:11:02 gate sshd: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "Alpine, BusyBox",
        "Jun  9 03:11:02 gate auth.info sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "FreeBSD, syslogd -v",
        "Jun  9 03:11:02 <auth.info> gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "OpenBSD, IPv6",
        "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 2001:db8::1 port 4 ssh2",
        Failed(1),
    ),
    (
        "OpenWrt with OpenSSH",
        "Tue Jun  9 03:11:02 2026 auth.info sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "Solaris",
        "Jun  9 03:11:02 gate sshd[7]: [ID 800047 auth.info] Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "brackets around the program",
        "Jun  9 03:11:02 gate [sshd] Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "path of the program",
        "Jun  9 03:11:02 gate /usr/sbin/sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "priority of RFC 3164",
        "<38>Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "RFC 5424",
        "<38>1 2026-06-09T03:11:02.003Z gate sshd 7 - - Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "RFC 5424 with data",
        "<38>1 2026-06-09T03:11:02Z gate sshd 7 - [origin ip=\"x]\"] Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "journalctl",
        "Jun 09 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "journalctl -o short-precise",
        "Jun 09 03:11:02.123456 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "journalctl -o short-iso, older",
        "2026-06-09T03:11:02+0200 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "journalctl -o short-iso-precise",
        "2026-06-09T03:11:02.123456+02:00 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "journalctl -o short-unix",
        "1780974662.123456 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "journalctl -o short-full in UTC",
        "Tue 2026-06-09 03:11:02 UTC gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "journalctl -o short-full elsewhere",
        "Tue 2026-06-09 03:11:02 CEST gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Malformed("name of a zone instead of an offset"),
    ),
    (
        "journalctl -o json",
        r#"{"__REALTIME_TIMESTAMP":"1780974662123456","_HOSTNAME":"gate","SYSLOG_IDENTIFIER":"sshd","_PID":"7","MESSAGE":"Failed password for ana from 192.0.2.1 port 4 ssh2"}"#,
        Failed(1),
    ),
    (
        "other JSON",
        r#"{"MESSAGE":"Failed password for ana from 192.0.2.1 port 4 ssh2"}"#,
        Malformed("journalctl -o json"),
    ),
    (
        "journalctl -o cat",
        "Failed password for ana from 192.0.2.1 port 4 ssh2",
        Malformed("expected a timestamp at the start"),
    ),
    (
        "journalctl -o short-monotonic",
        "[    3.123456] gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Malformed("expected a timestamp at the start"),
    ),
    (
        "journalctl -o export",
        "MESSAGE=Failed password for ana from 192.0.2.1 port 4 ssh2",
        Malformed("expected a timestamp at the start"),
    ),
    (
        "log show of macOS",
        "2026-06-09 03:11:02.123456+0200  localhost sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "title of a process of macOS",
        "Jun  9 03:11:02 gate sshd: ana [priv][7]: error: PAM: authentication error for ana from 192.0.2.1 via 192.0.2.80",
        Failed(1),
    ),
    (
        "time without an offset",
        "2026-06-09T03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "time with a space and a comma",
        "2026-06-09 03:11:02,250 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "year after the day",
        "Jun  9 2026 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "leading space",
        " Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "Windows, sshd.log",
        "1234 2026-06-09 03:11:02.123 Failed password for ana from 192.0.2.1 port 4 ssh2",
        Malformed("expected a timestamp at the start"),
    ),
    (
        "relayed by another program",
        "Jun  9 03:11:02 gate relay[1]: sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        OTHER_PROGRAM,
    ),
];

const MESSAGES: &[(&str, &str, Expected)] = &[
    (
        "unknown user",
        "Jun  9 03:11:02 gate sshd[7]: Failed password for invalid user ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "unknown user of an old server",
        "Jun  9 03:11:02 gate sshd[7]: Failed password for illegal user ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "announced unknown user",
        "Jun  9 03:11:02 gate sshd[7]: Invalid user ana from 192.0.2.1 port 4",
        Failed(1),
    ),
    (
        "announced by an old server",
        "Jun  9 03:11:02 gate sshd[7]: Illegal user ana from 192.0.2.1",
        Failed(1),
    ),
    (
        "announced and failed",
        "Jun  9 03:11:02 gate sshd[7]: Invalid user ana from 192.0.2.1 port 4\n\
         Jun  9 03:11:04 gate sshd[7]: Failed password for invalid user ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "user who is not allowed",
        "Jun  9 03:11:02 gate sshd[7]: User ana from 192.0.2.1 not allowed because not listed in AllowUsers",
        Failed(1),
    ),
    (
        "keyboard-interactive of Linux",
        "Jun  9 03:11:02 gate sshd[7]: Failed keyboard-interactive/pam for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "keyboard-interactive of OpenBSD",
        "Jun  9 03:11:02 gate sshd[7]: Failed keyboard-interactive/bsdauth for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "maximum of attempts",
        "Jun  9 03:11:02 gate sshd[7]: error: maximum authentication attempts exceeded for ana from 192.0.2.1 port 4 ssh2 [preauth]",
        Failed(1),
    ),
    (
        "PAM of FreeBSD",
        "Jun  9 03:11:02 gate sshd[7]: error: PAM: Authentication error for illegal user ana from 192.0.2.1",
        Failed(1),
    ),
    (
        "PAM of macOS",
        "Jun  9 03:11:02 gate sshd[7]: error: PAM: Authentication failure for ana from 192.0.2.1",
        Failed(1),
    ),
    (
        "PAM and the server",
        "Jun  9 03:11:02 gate sshd[7]: error: PAM: Authentication failure for ana from 192.0.2.1\n\
         Jun  9 03:11:02 gate sshd[7]: Failed keyboard-interactive/pam for ana from 192.0.2.1 port 4 ssh2",
        Failed(1),
    ),
    (
        "pam_unix of an old RHEL",
        "Jun  9 03:11:02 gate sshd(pam_unix)[7]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=192.0.2.1  user=ana",
        Failed(1),
    ),
    (
        "pam_unix of an old RHEL, unknown user",
        "Jun  9 03:11:02 gate sshd(pam_unix)[7]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=192.0.2.1",
        FailedAlone("192.0.2.1"),
    ),
    (
        "pam_unix alone",
        "Jun  9 03:11:02 gate sshd[7]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=ana",
        Failed(1),
    ),
    (
        "pam_unix and the server",
        "Jun  9 03:11:02 gate sshd[7]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=ana\n\
         Jun  9 03:11:04 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2\n\
         Jun  9 03:11:09 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2\n\
         Jun  9 03:11:09 gate sshd[7]: PAM 1 more authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=ana",
        Failed(2),
    ),
    (
        "pam_unix by name",
        "Jun  9 03:11:02 gate sshd(pam_unix)[7]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=client.example.net",
        FailedAlone("client.example.net"),
    ),
    (
        "PAM of FreeBSD by name, and the server",
        "Jun  9 03:11:02 gate sshd[7]: error: PAM: Authentication error for ana from client.example.net\n\
         Jun  9 03:11:05 gate sshd[7]: error: PAM: Authentication error for ana from client.example.net\n\
         Jun  9 03:11:05 gate sshd[7]: Failed keyboard-interactive/pam for ana from 192.0.2.1 port 4 ssh2",
        Failed(2),
    ),
    (
        "container with a time",
        "2026-06-09T03:11:02.123456789Z Failed password for ana from 192.0.2.1 port 4 ssh2",
        OTHER_PROGRAM,
    ),
    (
        "name of a zone after the time",
        "Jun  9 03:11:02 CEST gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        OTHER_PROGRAM,
    ),
    (
        "Cygwin",
        "Jun  9 03:11:02 gate sshd: PID 7: Failed password for ana from 192.0.2.1 port 4 ssh2",
        Unread("a message of sshd in an unknown form", 0),
    ),
    (
        "repetition of rsyslog",
        "Jun  9 03:11:02 gate sshd[7]: message repeated 3 times: [ Failed password for ana from 192.0.2.1 port 4 ssh2]",
        Failed(3),
    ),
    (
        "repetition of syslogd",
        "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2\n\
         Jun  9 03:11:30 gate last message repeated 2 times",
        Failed(3),
    ),
    (
        "repetition of FreeBSD",
        "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2\n\
         Jun  9 03:11:30 gate syslogd: last message repeated 2 times",
        Failed(3),
    ),
    (
        "repetition of macOS",
        "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2\n\
         Jun  9 03:11:30 --- last message repeated 2 times ---",
        Failed(3),
    ),
    (
        "key",
        "Jun  9 03:11:02 gate sshd[7]: Failed publickey for ana from 192.0.2.1 port 4 ssh2: RSA SHA256:f00",
        NoFailure,
    ),
    (
        "key that fits",
        "Jun  9 03:11:02 gate sshd[7]: Accepted publickey for ana from 192.0.2.1 port 4 ssh2: RSA SHA256:f00",
        NoFailure,
    ),
    (
        "right password",
        "Jun  9 03:11:02 gate sshd[7]: Accepted password for ana from 192.0.2.1 port 4 ssh2",
        NoFailure,
    ),
    (
        "closed connection",
        "Jun  9 03:11:02 gate sshd[7]: Connection closed by invalid user ana 192.0.2.1 port 4 [preauth]",
        Ended(1),
    ),
    (
        "closed connection after a failed login",
        "Jun  9 03:11:02 gate sshd[7]: Invalid user ana from 192.0.2.1 port 4\n\
         Jun  9 03:11:03 gate sshd[7]: Connection closed by invalid user ana 192.0.2.1 port 4 [preauth]",
        Failed(1),
    ),
    (
        "closed by a client without a key",
        "Jun  9 03:11:02 gate sshd[7]: Connection closed by authenticating user root 192.0.2.1 port 22 [preauth]",
        Ended(1),
    ),
    (
        "reset by a client without a key",
        "Jun  9 03:11:02 gate sshd[7]: Connection reset by authenticating user root 192.0.2.1 port 22 [preauth]",
        Ended(1),
    ),
    (
        "disconnected by a client without a key",
        "Jun  9 03:11:02 gate sshd[7]: Received disconnect from 192.0.2.1 port 22:11: Bye Bye [preauth]\n\
         Jun  9 03:11:02 gate sshd[7]: Disconnected from authenticating user root 192.0.2.1 port 22 [preauth]",
        Ended(1),
    ),
    (
        "two clients without a key",
        "Jun  9 03:11:02 gate sshd[7]: Connection closed by authenticating user root 192.0.2.1 port 22 [preauth]\n\
         Jun  9 03:11:02 gate sshd[8]: Connection closed by authenticating user root 192.0.2.1 port 23 [preauth]",
        Ended(2),
    ),
    (
        "client without a key on an old server",
        "Jun  9 03:11:02 gate sshd[7]: Connection closed by 192.0.2.1 [preauth]",
        Ended(1),
    ),
    (
        "change of the user by a client without a key",
        "Jun  9 03:11:02 gate sshd[7]: Disconnecting authenticating user root 192.0.2.1 port 22: Change of username or service not allowed: (root,ssh-connection) -> (ana,ssh-connection) [preauth]",
        Ended(1),
    ),
    (
        "repeated end",
        "Jun  9 03:11:02 gate sshd[7]: message repeated 2 times: [ Connection closed by authenticating user root 192.0.2.1 port 22 [preauth]]",
        Ended(1),
    ),
    (
        "silent client",
        "Jun  9 03:11:02 gate sshd[7]: fatal: Timeout before authentication for 192.0.2.1 port 22",
        Ended(1),
    ),
    (
        "silent client after a failed login, OpenSSH 9.8",
        "Jun  9 03:11:02 gate sshd-session[7]: Failed password for ana from 192.0.2.1 port 4 ssh2\n\
         Jun  9 03:13:02 gate sshd[1]: Timeout before authentication for connection from 192.0.2.1 to 192.0.2.80, pid = 7",
        Failed(1),
    ),
    (
        "end after a login by key",
        "Jun  9 03:11:02 gate sshd[7]: Accepted publickey for ana from 192.0.2.1 port 4 ssh2: RSA SHA256:f00\n\
         Jun  9 03:12:02 gate sshd[7]: Received disconnect from 192.0.2.1 port 4:11: disconnected by user\n\
         Jun  9 03:12:02 gate sshd[7]: Disconnected from user ana 192.0.2.1 port 4",
        NoFailure,
    ),
    (
        "root by a right key",
        "Jun  9 03:11:02 gate sshd[7]: ROOT LOGIN REFUSED FROM 192.0.2.1 port 22 [preauth]",
        FailedAtRoot,
    ),
    (
        "root on an old server",
        "Jun  9 03:11:02 gate sshd[7]: ROOT LOGIN REFUSED FROM 192.0.2.1",
        FailedAtRoot,
    ),
    (
        "root by a right password",
        "Jun  9 03:11:02 gate sshd[7]: ROOT LOGIN REFUSED FROM 192.0.2.1 port 22\n\
         Jun  9 03:11:02 gate sshd[7]: Failed password for root from 192.0.2.1 port 22 ssh2\n\
         Jun  9 03:11:04 gate sshd[7]: Connection closed by authenticating user root 192.0.2.1 port 22 [preauth]",
        FailedAtRoot,
    ),
    (
        "refused by a client of Java",
        "Jun  9 03:11:02 gate sshd[7]: error: Received disconnect from 192.0.2.1: 3: com.jcraft.jsch.JSchException: Auth fail [preauth]",
        Ended(1),
    ),
    (
        "unknown message of sshd",
        "Jun  9 03:11:02 gate sshd[7]: Failed smartcard for ana from 192.0.2.1 port 4 ssh2",
        Unread("a message of sshd in an unknown form", 0),
    ),
    (
        "cut message",
        "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1",
        Malformed("it may be cut"),
    ),
    (
        "Dropbear",
        "Jun  9 03:11:02 gate dropbear[7]: Bad password attempt for 'ana' from 192.0.2.1:4",
        OTHER_PROGRAM,
    ),
    (
        "Dovecot",
        "Jun  9 03:11:02 gate dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<ana>, rip=192.0.2.1",
        OTHER_PROGRAM,
    ),
    (
        "Postfix",
        "Jun  9 03:11:02 gate postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x",
        OTHER_PROGRAM,
    ),
    ("vsftpd", "Tue Jun  9 03:11:02 2026 [pid 7] [ana] FAIL LOGIN: Client \"192.0.2.1\"", OTHER_PROGRAM),
    (
        "sudo",
        "Jun  9 03:11:02 gate sudo: pam_unix(sudo:auth): authentication failure; logname=ana uid=0 euid=0 tty=/dev/pts/0 ruser=ana rhost=  user=ana",
        OTHER_PROGRAM,
    ),
];

#[test]
fn each_shape_is_read_right_or_reported_with_a_reason() {
    let shapes: Vec<_> = [HEADERS, MESSAGES].into_iter().flatten().collect();
    assert!(shapes.len() >= 60);
    for (shape, log, expected) in shapes {
        let output = PROGRAM.run(&["--max", "0", "-"], log);
        let report = String::from_utf8(output.stdout).unwrap();
        let status = output.status.code();
        let has = |text: &str| assert!(report.contains(text), "{shape}: expected `{text}` in {report}");
        let nothing_read = |expected: i32| {
            assert_eq!(status, Some(expected), "{shape}: {report}");
            has("\n0 failed logins from 0 addresses at 0 accounts\n");
        };
        let address = if log.contains("2001:db8::1") { "\n 2001:db8::1 " } else { "\n 192.0.2.1 " };
        match expected {
            Failed(times) => {
                assert_eq!(status, Some(0), "{shape}");
                has(&format!("\n{times} failed login"));
                has(" from 1 address at 1 account\n");
                has(address);
                has("\n ana ");
                assert!(!report.contains(" line of "), "{shape}: {report}");
                assert!(!report.contains(" ended before a login"), "{shape}: {report}");
            }
            FailedAtRoot => {
                assert_eq!(status, Some(0), "{shape}");
                has("\n1 failed login from 1 address at 1 account\n");
                has(address);
                has("\n root ");
                assert!(!report.contains(" ended before a login"), "{shape}: {report}");
            }
            Ended(connections) => {
                nothing_read(0);
                let connections =
                    format!("{connections} connection{}", if *connections == 1 { "" } else { "s" });
                has(&format!(
                    "\n{connections} ended before a login, without a failed login in the log; not counted."
                ));
            }
            FailedAlone(client) => {
                assert_eq!(status, Some(0), "{shape}");
                has("\n1 failed login from 1 address at 0 accounts\n");
                has(&format!("\n {client} "));
            }
            NoFailure => {
                nothing_read(0);
                assert!(!report.contains(" line of "), "{shape}: {report}");
                assert!(!report.contains(" ended before a login"), "{shape}: {report}");
            }
            Unread(reason, status) => {
                nothing_read(*status);
                has("\n1 unread line of 1 may report failed logins:\n  line 1: ");
                has(reason);
                has(&format!("\nLine 1 is: {}", &log[..40]));
            }
            Malformed(reason) => {
                nothing_read(1);
                has("\n1 malformed line of 1 left out:\n  line 1: ");
                has(reason);
            }
        }
    }
}

#[test]
fn compressed_input_and_other_encodings_exit_with_1_and_the_command_to_convert_them() {
    let line = "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2\n";
    let little: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = line.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (input, command) in [
        (b"\x1f\x8b\x08\0\0".to_vec(), "gunzip -c auth.log.gz | "),
        (b"BZh91AY&SY".to_vec(), "bunzip2 -c auth.log.bz2 | "),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "xz -dc auth.log.xz | "),
        (b"\x28\xb5\x2f\xfd\x04".to_vec(), "zstd -dc auth.log.zst | "),
        ([b"\xff\xfe", &*little].concat(), "iconv -f UTF-16LE -t UTF-8 auth.log | "),
        ([b"\xfe\xff", &*big].concat(), "iconv -f UTF-16BE -t UTF-8 auth.log | "),
        (little, "iconv -f UTF-16LE -t UTF-8 auth.log | "),
        (big, "iconv -f UTF-16BE -t UTF-8 auth.log | "),
        (b"LPKSHHRH\0\0\0\0".to_vec(), "journalctl --file … -o short-iso | "),
    ] {
        let output = PROGRAM.run(&["-"], input);
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{command}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.starts_with("attempts: cannot read Standard input: ") && error.contains(command),
            "{error}"
        );
    }
}

#[test]
fn report_says_how_a_time_without_an_offset_is_read() {
    let line =
        |time: &str| format!("{time} gate sshd[7]: Accepted password for ana from 192.0.2.1 port 4 ssh2\n");
    let (assumed, exact) = (line("2026-06-09T03:11:02"), line("2026-06-09T03:11:02Z"));
    let bare = line("Jun  9 03:11:02");
    for (log, remark) in [
        (assumed.clone(), Some("\n1 time without an offset, read as UTC.\n")),
        ([&*exact, &*bare, &*assumed].concat(), Some("\n2 times without an offset, read as UTC.\n")),
        (exact, None),
        // Its times are printed as they were written.
        (bare, None),
    ] {
        let report = PROGRAM.report(&[], &log);
        match remark {
            Some(remark) => assert!(report.contains(remark), "{report}"),
            None => assert!(!report.contains("offset"), "{report}"),
        }
    }
}
