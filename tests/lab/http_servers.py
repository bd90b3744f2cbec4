# SPDX-License-Identifier: LGPL-2.1-or-later
"""The servers of the distribution as units of the lab: each one listens on u.port of IPv4, and most on the port after
it of IPv6, where IPv4 comes mapped."""
import os
import shutil

from harness import RUN, remove, run, wait, write
from http_client import MAPPED, V4, V6
from http_truth import HTTP, port_of

STATUSES = (200, 204, 301, 304, 404, 500)


class Server:
    """How a server is run, where it answers a status, and what it can do."""

    def __init__(self, name, unit, path="/status/{}", light="/status/200", ways=(V4, V6, MAPPED), log=None,
                 keeps=True, h2load=True, large=None, sleeps=False):
        self.name, self.unit, self.path, self.light, self.ways = name, unit, path, light, ways
        self.log = log        # its access log has lines "METHOD STATUS"
        self.keeps = keeps    # connections, for the programs that want that
        self.h2load = keeps and h2load  # it understands the answers
        self.large = large    # the path that answers 413 to a body of 4000 bytes
        self.sleeps = sleeps  # /sleep/MS

    def start(self, t):
        directory = f"{RUN}/{t.unit_name('server')}.d"
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o777)
        t.cleanup(shutil.rmtree, directory)
        port = port_of(t)
        command, service, notify = self.unit(directory, port)
        u = t.unit("server", command=command, start=False, mendd="",
                   service=f"WorkingDirectory={directory}\nEnvironment=PYTHONDONTWRITEBYTECODE=1\n" + service)
        u.port, u.log = port, f"{directory}/access.log"
        u.start()
        if not notify:
            for p in {port if way == V4 else port + 1 for way in self.ways}:
                wait(f"{u.name} listens on {p}", lambda p=p: is_listening(p))
        return u


def is_listening(port):
    """Without connecting: to a server that speaks first, an empty connection is one more to count."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as f:
            for line in list(f)[1:]:
                _, local, _, state = line.split()[:4]
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False


def certificate(t):
    path = f"{RUN}/{t.unit_name('tls')}.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-keyout", path, "-out", path + ".crt")
    with open(path, "a", encoding="ascii") as f, open(path + ".crt", encoding="ascii") as crt:
        f.write(crt.read())
    t.cleanup(remove, path)
    t.cleanup(remove, path + ".crt")
    return path


def statuses(line):
    return "\n".join(line.format(s) for s in STATUSES)


def nginx(directory, port):
    locations = statuses("location = /status/{0} {{ return {0} \"as asked\\n\"; }}").replace(
        'return 301 "as asked\\n"', 'return 301 /status/200').replace('304 "as asked\\n"', '304')
    write(f"{directory}/nginx.conf", f"""daemon off;
user root;
worker_processes 2;
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
sendfile on;
tcp_nopush on;
log_format plain '$request_method $status';
access_log {directory}/access.log plain;
client_body_temp_path {directory}/1; proxy_temp_path {directory}/2; fastcgi_temp_path {directory}/3;
uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
client_max_body_size 1k;
server {{
listen 0.0.0.0:{port};
listen [::]:{port + 1} ipv6only=off;
root {directory};
{locations}
location = /status/413 {{ return 200 "it was small\\n"; }}
}}
}}
""")
    write(f"{directory}/file", "x" * 612)
    return f"/usr/sbin/nginx -e stderr -c {directory}/nginx.conf", "", False


def lighttpd(directory, port):
    write(f"{directory}/lighttpd.conf", f"""server.modules = ("mod_cgi", "mod_accesslog")
server.document-root = "{directory}"
server.bind = "0.0.0.0"
server.port = {port}
server.max-request-size = 1
$SERVER["socket"] == "[::]:{port + 1}" {{ server.set-v6only = "disable" }}
cgi.assign = (".cgi" => "/bin/sh")
accesslog.filename = "{directory}/access.log"
accesslog.format = "%m %s"
""")
    shutil.copy(f"{HTTP}/status.cgi", directory)
    write(f"{directory}/file", "x" * 612)
    # Its log is kept until it is large: as it is written to a pipe it comes at once.
    return f"/usr/sbin/lighttpd -D -f {directory}/lighttpd.conf", "", False


def apache(directory, port):
    modules = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so"
                        for m in ("mpm_event", "authz_core", "cgid"))
    # Linux wakes it up when data has come, not when a connection has: AcceptFilter is as shipped.
    write(f"{directory}/apache.conf", f"""{modules}
ServerName lab
ServerRoot {directory}
PidFile {directory}/pid
DefaultRuntimeDir {directory}
ScriptSock {directory}/cgid
Listen 0.0.0.0:{port}
Listen [::]:{port + 1}
User www-data
Group www-data
DocumentRoot {directory}
ErrorLog {directory}/error.log
LogFormat "%m %>s" plain
CustomLog {directory}/access.log plain
LimitRequestBody 1024
<Directory {directory}>
Require all granted
Options +ExecCGI
</Directory>
<Files "*.cgi">
SetHandler cgi-script
</Files>
""")
    shutil.copy(f"{HTTP}/status.cgi", directory)
    write(f"{directory}/file", "x" * 612)
    return f"/usr/sbin/apache2 -DFOREGROUND -f {directory}/apache.conf", "", False


def gunicorn(options):
    def unit(directory, port):
        return (f"/usr/bin/gunicorn {options} -b 0.0.0.0:{port} -b [::]:{port + 1} --chdir {HTTP} "
                f"--access-logfile {directory}/access.log --access-logformat \"%%(m)s %%(s)s\" app:app",
                "Type=notify\nNotifyAccess=all", True)
    return unit


def uvicorn(_, port):
    # It has one socket, and one of IPv6 would be for IPv6 only.
    return (f"/usr/bin/uvicorn --app-dir {HTTP} --host 0.0.0.0 --port {port} --log-level warning asgi:app", "", False)


def hypercorn(_, port):
    return (f"/usr/bin/hypercorn -b 0.0.0.0:{port} -b [::]:{port + 1} --log-level warning asgi:app",
            f"WorkingDirectory={HTTP}", False)


def python(directory, port):
    write(f"{directory}/file", "x" * 612)
    return f"/usr/bin/python3 -m http.server --bind :: {port + 1}", "", False


def node(_, port):
    return f"/usr/bin/node {HTTP}/app.js {port}", "", False


SERVERS = (
    Server("nginx", nginx, light="/file", log=True, large="/status/413"),
    Server("lighttpd", lighttpd, path="/status.cgi?{}", light="/file", log=False, large="/status.cgi?200"),
    Server("apache2", apache, path="/status.cgi?{}", light="/file", log=True, large="/status.cgi?200"),
    Server("gunicorn sync", gunicorn("-k sync -w 1"), log=True, keeps=False, large="/status/413", sleeps=True),
    Server("gunicorn gthread", gunicorn("-k gthread --threads 4"), log=True, large="/status/413", sleeps=True),
    Server("uvicorn", uvicorn, ways=(V4,), large="/status/413", sleeps=True),
    Server("hypercorn", hypercorn, h2load=False, large="/status/413", sleeps=True),
    Server("python http.server", python, path="/{}", light="/file", ways=(V6, MAPPED), keeps=False),
    Server("node", node, large="/status/413", sleeps=True),
)
