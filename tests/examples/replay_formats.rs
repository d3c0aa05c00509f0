//! The example `replay`: each shape of a line is read right, or refused with a reason.
//!
//! The shapes are those of the documentation of each server, with made-up values.

use crate::program::Program;

const PROGRAM: Program = Program { example: "replay" };

/// What comes of a line.
enum Expected {
    /// The client, `unknown` if the server did not know it, and the user.
    Read(&'static str, &'static str),
    /// A part of the reason.
    Refused(&'static str),
}
use Expected::{Read, Refused};

const SEVERAL_ADDRESSES: Expected = Refused("choose one with --client first or last");
const SEVERAL_WORDS: Expected = Refused("several words before the identity");

const APACHE: &[(&str, &str, Expected)] = &[
    (
        "common",
        r#"192.0.2.1 - ana [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("192.0.2.1", "ana"),
    ),
    (
        "combined",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512 "https://example.org/" "Example/1.0""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "combinedio",
        r#"2001:db8::1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 - "-" "-" 401 700"#,
        Read("2001:db8::1", "-"),
    ),
    (
        "vhost_combined",
        r#"www.example.com:443 192.0.2.1 - ana [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512 "-" "-""#,
        Read("192.0.2.1", "ana"),
    ),
    (
        "vhost_common",
        r#"www.example.com 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "vhost_combined over IPv6",
        r#"localhost:80 ::1 - - [09/Jun/2026:14:00:07 +0200] "OPTIONS * HTTP/1.0" 200 126 "-" "-""#,
        Read("::1", "-"),
    ),
    (
        "virtual host is an address",
        r#"192.0.2.80:443 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_ADDRESSES,
    ),
    (
        "virtual host and a client by name",
        r#"www.example.com:443 client.example.net - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("client.example.net", "-"),
    ),
    (
        "two names",
        r#"www.example.com client.example.net - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_WORDS,
    ),
    (
        "client after the user",
        r#"www.example.com - ana 192.0.2.1 [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_WORDS,
    ),
    (
        "X-Forwarded-For first",
        r#"203.0.113.5, 198.51.100.7 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_ADDRESSES,
    ),
    (
        "X-Forwarded-For without spaces",
        r#"203.0.113.5,198.51.100.7 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_ADDRESSES,
    ),
    (
        "X-Forwarded-For of one address",
        r#"203.0.113.5 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("203.0.113.5", "-"),
    ),
    (
        "X-Forwarded-For, then the peer",
        r#"203.0.113.5 10.0.0.7 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_ADDRESSES,
    ),
    (
        "no X-Forwarded-For, then the peer",
        r#"- 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "quoted X-Forwarded-For, then the peer",
        r#""203.0.113.5, 198.51.100.7" 10.0.0.7 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_ADDRESSES,
    ),
    (
        "address with a port, as Azure forwards it",
        r#"203.0.113.5:51034 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("203.0.113.5", "-"),
    ),
    (
        "identity of identd",
        r#"192.0.2.1 unix-ana ana [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("192.0.2.1", "ana"),
    ),
    (
        "user with a space",
        r#"192.0.2.1 - Ana Lima [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 401 512"#,
        Read("192.0.2.1", "Ana Lima"),
    ),
    (
        "HostnameLookups",
        r#"client.example.net - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        Read("client.example.net", "-"),
    ),
    (
        "time taken first",
        r#"1234567 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#,
        SEVERAL_WORDS,
    ),
    (
        "time in ISO 8601",
        r#"192.0.2.1 - - [2026-06-09T14:00:07+02:00] "GET / HTTP/1.1" 200 512"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "time without an offset",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07] "GET / HTTP/1.1" 200 512"#,
        Refused("invalid time"),
    ),
    (
        "ssl_request_log",
        r#"[09/Jun/2026:14:00:07 +0200] 192.0.2.1 TLSv1.3 TLS_AES_256_GCM_SHA384 "GET / HTTP/1.1" 512"#,
        Refused("a log with the time first"),
    ),
    (
        "TLS handshake on a plain port",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "\x16\x03\x01" 400 226 "-" "-""#,
        Read("192.0.2.1", "-"),
    ),
    ("referer log", r#"https://example.org/ -> /index.html"#, Refused("expected a time in brackets")),
    (
        "error log of Apache",
        "[Tue Jun 09 14:00:07.123456 2026] [core:error] [pid 7:tid 8] [client 192.0.2.1:51034] AH00126: x",
        Refused("an error log"),
    ),
];

const NGINX: &[(&str, &str, Expected)] = &[
    (
        "default main with $http_x_forwarded_for at the end",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/2.0" 200 512 "-" "Example/1.0" "203.0.113.5""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "$http_x_forwarded_for for the user",
        r#"10.0.0.7 - 203.0.113.5 [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 512 "-" "-""#,
        SEVERAL_ADDRESSES,
    ),
    (
        "$http_x_forwarded_for before the user",
        r#"10.0.0.7 - 203.0.113.5, 203.0.113.6 - ana [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#,
        SEVERAL_ADDRESSES,
    ),
    (
        "$host before the client",
        r#"www.example.com 192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 512 "-" "-""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "$host after the client",
        r#"192.0.2.1 www.example.com - ana [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 512 "-" "-""#,
        SEVERAL_WORDS,
    ),
    (
        "empty header of a proxy after the server",
        r#"192.0.2.80 - - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 512 "-" "-""#,
        SEVERAL_WORDS,
    ),
    (
        "ingress controller of Kubernetes",
        r#"192.0.2.1 - ana [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 5 "-" "-" 417 0.003 [web-http] [] 10.0.0.7:80 5 0.003 200 f00"#,
        Read("192.0.2.1", "ana"),
    ),
    (
        "ingress controller of Kubernetes, older",
        r#"192.0.2.1 - [192.0.2.1] - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 5 "-" "-" 417 0.003 [web-http] 10.0.0.7:80 5 0.003 200"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "client on a local socket",
        r#"unix: - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 512 "-" "-""#,
        Read("unknown", "-"),
    ),
    (
        "empty request of status 400",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "" 400 0 "-" "-""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "status 000",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 000 0 "-" "-""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "JSON",
        r#"{"time":"2026-06-09T14:00:07+00:00","remote_addr":"192.0.2.1","request":"GET / HTTP/1.1","status":200}"#,
        Refused("this is JSON; write its fields in Common Log Format first"),
    ),
    (
        "error log of nginx",
        "2026/06/09 14:00:07 [error] 7#7: *1 open() failed, client: 192.0.2.1, server: www.example.com",
        Refused("an error log"),
    ),
];

const SERVERS: &[(&str, &str, Expected)] = &[
    (
        "lighttpd, virtual host for the identity",
        r#"192.0.2.1 www.example.com - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512 "-" "Example/1.0""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "lighttpd, virtual host is an address",
        r#"192.0.2.1 192.0.2.80 - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512 "-" "Example/1.0""#,
        SEVERAL_ADDRESSES,
    ),
    (
        "varnishncsa",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "GET http://www.example.com/ HTTP/1.1" 200 512 "-" "-""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "gunicorn",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8.5.0""#,
        Read("192.0.2.1", "-"),
    ),
    (
        "uvicorn",
        r#"INFO:     192.0.2.1:51034 - "GET / HTTP/1.1" 200 OK"#,
        Refused("expected a time in brackets"),
    ),
    (
        "http.server of Python",
        r#"192.0.2.1 - - [09/Jun/2026 14:00:07] "GET / HTTP/1.1" 200 -"#,
        Refused("invalid time"),
    ),
    (
        "Traefik, common",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "GET / HTTP/1.1" 200 5 "-" "-" 1 "web@docker" "http://10.0.0.7:80" 3ms"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "Traefik, JSON",
        r#"{"ClientAddr":"192.0.2.1:51034","ClientHost":"192.0.2.1","DownstreamStatus":200,"RequestMethod":"GET"}"#,
        Refused("JSON"),
    ),
    (
        "Caddy, JSON",
        r#"{"level":"info","ts":1781006407.25,"request":{"remote_ip":"192.0.2.1","method":"GET","uri":"/"},"status":200}"#,
        Refused("JSON"),
    ),
    (
        "Tomcat",
        r#"0:0:0:0:0:0:0:1 - - [09/Jun/2026:14:00:07 +0200] "GET /docs/ HTTP/1.1" 200 512"#,
        Read("0:0:0:0:0:0:0:1", "-"),
    ),
    (
        "Jetty",
        r#"192.0.2.1 - - [09/Jun/2026:12:00:07 +0000] "GET / HTTP/1.1" 200 512 "-" "-" 12"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "morgan of Express behind IPv4 in IPv6",
        r#"::ffff:192.0.2.1 - - [09/Jun/2026:12:00:07 +0000] "GET / HTTP/1.1" 200 512 "-" "-""#,
        Read("::ffff:192.0.2.1", "-"),
    ),
    (
        "HAProxy, httplog",
        r#"192.0.2.1:33317 [09/Jun/2026:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {} {} "GET / HTTP/1.1""#,
        Refused("the format of HAProxy"),
    ),
    (
        "HAProxy, httplog over syslog",
        r#"Jun  9 12:14:14 lb haproxy[7]: 192.0.2.1:33317 [09/Jun/2026:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750"#,
        Refused("the format of HAProxy"),
    ),
    (
        "virtual host is an address, client by name",
        r#"192.0.2.80 localhost - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5 "-" "-""#,
        SEVERAL_WORDS,
    ),
    (
        "virtual host and a client on a local socket",
        r#"www.example.com:80 unix: - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5 "-" "-""#,
        Read("unknown", "-"),
    ),
    (
        "HAProxy, httplog clf",
        r#"192.0.2.1 - - [09/Jun/2026:12:14:14 +0000] "GET / HTTP/1.1" 200 2750 "" "" 33317 655 "http-in" "static" "srv1" 10 0 30 69 109 ----"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "Envoy",
        r#"[2026-06-09T14:00:07.310Z] "GET / HTTP/1.1" 200 - 0 154 226 100 "192.0.2.1" "curl/8.5.0" "f00" "www.example.com" "tcp://10.0.0.2:80""#,
        Refused("the default format of Envoy"),
    ),
    (
        "Squid, native",
        "1781006407.123     45 192.0.2.1 TCP_MISS/200 1234 GET http://www.example.com/ - HIER_DIRECT/192.0.2.80 text/html",
        Refused("the native format of Squid"),
    ),
    (
        "Squid, combined",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] "GET http://www.example.com/ HTTP/1.1" 200 5 "-" "-" TCP_MISS:HIER_DIRECT"#,
        Read("192.0.2.1", "-"),
    ),
    ("IIS, header", "#Fields: date time s-ip cs-method cs-uri-stem c-ip sc-status", Refused("W3C format")),
    (
        "IIS, W3C",
        "2026-06-09 12:00:07 192.0.2.80 GET / - 443 - 192.0.2.1 Example/1.0 - 200 0 0 15",
        Refused("W3C format"),
    ),
    (
        "IIS, native",
        "192.0.2.1, -, 6/9/26, 12:00:07, W3SVC1, WEB, 192.0.2.80, 15, 401, 512, 200, 0, GET, /, -,",
        Refused("time in brackets"),
    ),
];

const CLOUDS: &[(&str, &str, Expected)] = &[
    (
        "AWS ALB",
        r#"https 2026-06-09T12:00:07.186641Z app/web/50dc6c495c0c9188 192.0.2.1:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/8.5.0" - -"#,
        Refused("AWS load balancer"),
    ),
    (
        "AWS classic load balancer",
        r#"2026-06-09T12:00:07.186641Z web 192.0.2.1:2817 10.0.0.1:80 0.1 0.1 0.1 200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/8.5.0" - -"#,
        Refused("expected a time in brackets"),
    ),
    (
        "AWS S3",
        r#"79a5 bucket [09/Jun/2026:12:00:38 +0000] 192.0.2.3 79a5 3E57427F3EXAMPLE REST.GET.VERSIONING - "GET /bucket HTTP/1.1" 200 - 113 - 7 - "-" "S3Console/0.4" -"#,
        Refused("expected host, identity and user"),
    ),
    (
        "AWS CloudFront",
        "2026-06-09\t12:00:07\tLAX1\t2390282\t192.0.2.1\tGET\td111111abcdef8.cloudfront.net\t/index.html\t200",
        Refused("W3C format"),
    ),
    (
        "Cloudflare",
        r#"{"ClientIP":"192.0.2.1","ClientRequestMethod":"GET","EdgeResponseStatus":200,"EdgeStartTimestamp":"2026-06-09T12:00:07Z"}"#,
        Refused("JSON"),
    ),
    (
        "Google Cloud",
        r#"{"httpRequest":{"remoteIp":"192.0.2.1","requestMethod":"GET","status":200},"timestamp":"2026-06-09T12:00:07Z"}"#,
        Refused("JSON"),
    ),
    ("Google Cloud, several lines", r#"  "httpRequest": {"#, Refused("expected a time in brackets")),
];

const COLLECTORS: &[(&str, &str, Expected)] = &[
    (
        "leading space",
        r#" 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "syslog, RFC 3164",
        r#"<190>Jun  9 14:00:07 web nginx: 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "syslog of a host by address",
        r#"Jun  9 14:00:07 192.0.2.80 nginx: 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "syslog, RFC 5424",
        r#"<190>1 2026-06-09T14:00:07Z web nginx 7 - - 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "syslog without a program, host by address",
        r#"Jun  9 14:00:07 192.0.2.80 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        SEVERAL_ADDRESSES,
    ),
    (
        "journalctl",
        r#"Jun 09 14:00:07 web httpd[7]: 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "journalctl -o json",
        r#"{"__REALTIME_TIMESTAMP":"1781006407000000","MESSAGE":"192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] \"GET / HTTP/1.1\" 200 5"}"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "docker logs -t",
        r#"2026-06-09T12:00:07.123456789Z 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "docker logs -t, virtual host",
        r#"2026-06-09T12:00:07.123456789Z www.example.com:443 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "docker compose logs",
        r#"web-1  | 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "files of Docker",
        r#"{"log":"192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] \"GET / HTTP/1.1\" 200 5\n","stream":"stdout","time":"2026-06-09T12:00:07Z"}"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "files of containerd",
        r#"2026-06-09T12:00:07.123456789Z stdout F 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "kubectl logs --prefix",
        r#"[pod/web-0/nginx] 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "stern",
        r#"web-0 nginx 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Read("192.0.2.1", "-"),
    ),
    (
        "grep over several files",
        r#"access.log:192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Refused("invalid host `access.log:192.0.2.1`"),
    ),
    (
        "grep -n",
        r#"7:192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        Refused("invalid host `7:192.0.2.1`"),
    ),
    (
        "uniq -c",
        r#"      3 192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 5"#,
        SEVERAL_WORDS,
    ),
    ("title of tail", "==> access.log <==", Refused("expected a time in brackets")),
    (
        "cut line",
        r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HT"#,
        Refused("the request has no closing quote"),
    ),
];

/// Returns the first cell of the table of the most refused keys, if there is one.
fn first_key(report: &str) -> Option<&str> {
    let row = report.lines().skip_while(|line| !line.contains("most refused")).nth(2)?;
    row.trim_start().split("   ").next().map(str::trim)
}

#[test]
fn each_shape_is_read_right_or_refused_with_a_reason() {
    let shapes = [APACHE, NGINX, SERVERS, CLOUDS, COLLECTORS].into_iter().flatten().collect::<Vec<_>>();
    assert!(shapes.len() >= 60);
    for (shape, line, expected) in shapes {
        let run = |by| {
            let output = PROGRAM.run(&["--quota", "0/min", "--by", by, "-"], line);
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (status, report) = run("ip");
        match expected {
            Read(client, user) => {
                assert_eq!(status, Some(i32::from(*client == "unknown")), "{shape}: {report}");
                assert_eq!(first_key(&report).unwrap_or("unknown"), *client, "{shape}: {report}");
                assert_eq!(first_key(&run("user").1).unwrap_or("-"), *user, "{shape}");
            }
            Refused(reason) => {
                assert_eq!(status, Some(1), "{shape}: {report}");
                assert!(report.contains("1 malformed line of 1 left out:\n  line 1: "), "{shape}: {report}");
                assert!(report.contains(reason), "{shape}: {report}");
            }
        }
    }
}

#[test]
fn chosen_address_is_the_client() {
    let line = |names: &str| format!("{names} [09/Jun/2026:14:00:07 +0200] \"GET / HTTP/1.1\" 200 5\n");
    let input = line("203.0.113.5, 198.51.100.7 10.0.0.7 - ana") + &line("192.0.2.1 - -");
    for (choice, client) in [("first", "203.0.113.5"), ("last", "10.0.0.7")] {
        let report = PROGRAM.report(&["--quota", "0/min", "--client", choice], &input);
        assert!(report.starts_with("Standard input: 2 requests, 2 addresses, "), "{report}");
        assert!(report.contains(client) && report.contains("192.0.2.1"), "{report}");
    }
}

#[test]
fn compressed_input_and_other_encodings_exit_with_1_and_the_command_to_convert_them() {
    let line = "192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] \"GET / HTTP/1.1\" 200 5\n";
    let little: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = line.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (input, command) in [
        (b"\x1f\x8b\x08\0\0".to_vec(), "gunzip -c access.log.gz | "),
        (b"BZh91AY&SY".to_vec(), "bunzip2 -c access.log.bz2 | "),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "xz -dc access.log.xz | "),
        (b"\x28\xb5\x2f\xfd\x04".to_vec(), "zstd -dc access.log.zst | "),
        ([b"\xff\xfe", &*little].concat(), "iconv -f UTF-16LE -t UTF-8 access.log | "),
        ([b"\xfe\xff", &*big].concat(), "iconv -f UTF-16BE -t UTF-8 access.log | "),
        (little, "iconv -f UTF-16LE -t UTF-8 access.log | "),
        (big, "iconv -f UTF-16BE -t UTF-8 access.log | "),
    ] {
        let output = PROGRAM.run(&["-"], input);
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{command}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.starts_with("replay: cannot read Standard input: ") && error.contains(command),
            "{error}"
        );
    }
}

#[test]
fn first_line_left_out_is_shown_without_its_control_characters() {
    let output = PROGRAM.run(&["-"], "\n\u{1b}[2Jbad\u{202e}\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.starts_with("replay: no request could be read in 1 line; line 2: expected a time"),
        "{error}"
    );
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.ends_with("\nLine 2 is: \\u{1b}[2Jbad\\u{202e}\n"), "{report}");
}

#[test]
fn requests_that_name_other_clients_at_the_end_are_reported() {
    let line = |end: &str| {
        format!("10.0.0.7 - - [09/Jun/2026:14:00:07 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\" \"{end}\"\n")
    };
    let report = PROGRAM.report(&[], line("203.0.113.5") + &line("203.0.113.6, 10.0.0.8") + &line("-"));
    assert!(
        report.contains("\n2 requests with other addresses after the agent, as behind a proxy."),
        "{report}"
    );
    assert!(!PROGRAM.report(&[], line("-")).contains("after the agent"));
}

#[test]
fn log_without_any_key_exits_with_1_and_the_reason() {
    let input = "unix: - - [09/Jun/2026:14:00:07 +0000] \"GET / HTTP/1.1\" 200 5\n".repeat(2);
    let bad = "bad\n".to_owned() + &input;
    for (by, input, reason) in [
        ("ip", &input, "no address in 2 requests"),
        ("user", &input, "no user in 2 requests"),
        ("ip+path", &input, "no ip+path in 2 requests"),
        ("ip", &bad, "no address in 2 requests"),
    ] {
        let output = PROGRAM.run(&["--by", by, "-"], input);
        assert_eq!(output.status.code(), Some(1), "{by}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error, format!("replay: nothing to replay: {reason}; choose a key with --by\n"));
    }
    let report = PROGRAM.report(&["--by", "path"], &input);
    assert!(report.starts_with("Standard input: 2 requests, 1 path, "), "{report}");
}

#[test]
fn only_client_with_a_private_address_is_reported() {
    let line = |names: &str| format!("{names} [09/Jun/2026:14:00:07 +0200] \"GET / HTTP/1.1\" 200 5\n");
    // The format `%h %A` with lookups of names: the second is the server.
    let lookups = line("client.example.net 10.0.0.5 - -") + &line("other.example.net 10.0.0.5 - -");
    let forwarded = line("203.0.113.5 10.0.0.7 - -") + &line("203.0.113.6 10.0.0.7 - -");
    for (arguments, input, address, remedy) in [
        (&[][..], &lookups, "10.0.0.5", "choose one with --client\nfirst or last"),
        (&[], &line("127.0.0.1 - -"), "127.0.0.1", "let the\nserver write its address"),
        (&["--by", "ip+path"], &line("fd00::7 - -"), "fd00::7", "virtual host"),
        (&["--client", "last"], &forwarded, "10.0.0.7", "--client first"),
        (&["--client", "first"], &line("10.0.0.7 203.0.113.5 - -"), "10.0.0.7", "--client last"),
    ] {
        let report = PROGRAM.report(arguments, input);
        let note = format!(
            "\nAll requests come from {address}, a private address: it may be the server or a proxy.\n"
        );
        assert!(report.contains(&note) && report.contains(remedy), "{report}");
    }
    for (arguments, input) in [
        (&[][..], &line("192.0.2.1 - -")),
        (&[], &(line("10.0.0.5 - -") + &line("10.0.0.6 - -"))),
        (&["--by", "path"], &lookups),
        (&["--client", "first"], &forwarded),
    ] {
        let report = PROGRAM.report(arguments, input);
        assert!(!report.contains("private address"), "{report}");
    }
}

#[test]
fn help_warns_that_the_last_address_may_be_a_user_name() {
    let help = String::from_utf8(PROGRAM.run(&["--help"], "").stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("A user name may be an address too: do not take the last if a client can choose it")
    );
}
