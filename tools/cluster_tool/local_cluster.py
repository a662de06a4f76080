"""A cluster of real nodes and a private etcd on this machine. What is there lies in a folder's state.json, so that one
command finds what another started; `cluster.json` beside it is what candorctl finds.

Without `netns` all speak over loopback. With it each member has a network of its own and can be cut off.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import secrets
import shutil
import ssl
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "story")]
import network  # noqa: E402
from certificates import Authority  # noqa: E402
from member import Member  # noqa: E402
from node import ROOT, Node, environment, free_port, free_ports  # noqa: E402


class ClusterError(Exception):
    """Something that whoever runs the tool can put right."""


def default_folder():
    return pathlib.Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"candor-cluster-{os.getuid()}"


class ClusterNode(Node):
    """A node as the tests know it (`call`, `events`, `admin`, `candorctl`), whose process is a member's."""

    def __init__(self, cluster, member, start_deadline_s=180):
        super().__init__(cluster.bin_dir, member.folder, port=member.facts["http_port"],
                         start_deadline_s=start_deadline_s)
        self.cluster = cluster
        self.member = member
        self.log = member.log

    @property
    def name(self):
        return self.member.name

    @property
    def address(self):
        return self.member.facts["address"]

    @property
    def url(self):
        return self.member.facts["url"]

    def open_connection(self, timeout=60):
        if not self.cluster.netns:
            return http.client.HTTPConnection(self.address, self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=str(self.cluster.http_ca))
        connection = http.client.HTTPSConnection(self.address, self.port, timeout=timeout, context=context)
        connection.auto_open = 0  # it would open again outside the namespace, where somebody else may have the address
        with network.inside(self.cluster.client_namespace):
            connection.connect()
        return connection

    def call(self, method, path, body=None, content_type="application/json", timeout=60, headers=None):
        if self.cluster.key:
            headers = {"Authorization": f"Bearer {self.cluster.key}", **(headers or {})}
        return super().call(method, path, body, content_type, timeout, headers)

    def client_environment(self):
        made = {"CANDOR_NODE": self.url}
        if self.cluster.netns:
            made |= {"CANDOR_CA": str(self.cluster.http_ca), "CANDOR_KEY": self.cluster.key}
        return environment(**made)

    def candorctl(self, *arguments, stdin=None, check=True):
        with network.inside(self.cluster.client_namespace):
            return super().candorctl(*arguments, stdin=stdin, check=check)

    def state(self):
        return self.member.state()

    def is_ready(self):
        try:
            return super().is_ready()
        except http.client.HTTPException:  # it died while it answered
            return False

    def launch(self):
        self.cluster.launch(self.member)
        return self

    def start(self):
        return self.launch().wait_until_ready()

    def wait_until_ready(self):
        until = time.monotonic() + self.start_deadline_s
        while time.monotonic() < until and self.member.is_alive():
            if self.is_ready():
                return self
            time.sleep(0.05)
        raise ClusterError(f"{self.name} {'is not ready in time' if self.member.is_alive() else 'has ended'}; "
                           f"its log {self.log} ends with:\n{self.member.log_tail()}")

    def stop(self, deadline_s=30):
        return self.member.stop(deadline_s)

    def kill(self):
        return self.member.kill()


class LocalCluster:
    def __init__(self, folder, state):
        self.folder = pathlib.Path(folder)
        self.state = state
        self.etcd = [Member(facts) for facts in state["etcd"]]
        self.nodes = [ClusterNode(self, Member(facts)) for facts in state["nodes"]]
        self.mutex = threading.RLock()

    # -- what it is made of ------------------------------------------------------------------------

    @property
    def bin_dir(self):
        return pathlib.Path(self.state["bin_dir"])

    @property
    def netns(self):
        """The start of its namespaces' names; None where all is on loopback."""
        return self.state["netns"]

    @property
    def client_namespace(self):
        return f"{self.netns}-net" if self.netns else None

    @property
    def key(self):
        return self.state["key"]

    @property
    def http_ca(self):
        return self.folder / "certificates" / "http-ca.crt"

    @property
    def members(self):
        return [n.member for n in self.nodes] + self.etcd

    def node(self, name):
        for n in self.nodes:
            if n.name == name:
                return n
        raise ClusterError(f"there is no node {name}; there are {', '.join(n.name for n in self.nodes)}")

    def members_named(self, names):
        """"etcd" is all members of etcd."""
        found = []
        for name in names:
            of_name = [m for m in self.members if m.name == name or (name == "etcd" and m in self.etcd)]
            if not of_name:
                raise ClusterError(f"there is no {name}; there are {', '.join(m.name for m in self.members)}")
            found += of_name
        return found

    # -- beginning and end -------------------------------------------------------------------------

    @classmethod
    def up(cls, folder, bin_dir, nodes=3, etcd=1, shards=64, replicas=None, in_sync_min=None, settable_clock=False,
           clock_start=None, netns=False, settings=None, first_http_port=None, secrets_from=None,
           node_environment=None, data_mib=None, prepare=lambda cluster: None, say=lambda text: None):
        """A new cluster, ready. Where it fails, nothing of it runs on and its logs stay in the folder. On loopback the
        nodes serve HTTP at `first_http_port` and the next ones that are free, or at any. `secrets_from` is a folder
        with the master.key and cluster.secret of another cluster. In the values of `settings` and `node_environment`
        {folder} is the node's own. With `data_mib` (as root) each node's data lies in a file system of that size in
        memory. `prepare` is called when the folders are there and nothing runs yet."""
        folder = pathlib.Path(folder).resolve()
        for program in (pathlib.Path(bin_dir) / "candord", "etcd", "openssl"):
            if not shutil.which(program):
                raise ClusterError(f"{program} is not there; tools/setup installs what is needed")
        if netns and os.geteuid() != 0:
            raise ClusterError("--netns makes networks, which needs root")
        if (folder / "state.json").exists():
            raise ClusterError(f"there is a cluster in {folder} already; `tools/cluster down` removes it")
        if folder.exists() and any(folder.iterdir()):
            raise ClusterError(f"{folder} is not empty, and nothing in it is a cluster's")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.getuid():
            raise ClusterError(f"{folder} is another's")
        replicas = replicas or min(3, nodes)
        id = secrets.token_hex(3)
        self = cls(folder, {
            "bin_dir": str(pathlib.Path(bin_dir).resolve()), "cluster": f"local-{id}", "shards": shards,
            "cluster_nodes": nodes, "replicas": replicas, "in_sync_min": in_sync_min or min(2, replicas),
            "settable_clock": settable_clock, "clock_start": clock_start, "settings": dict(settings or {}),
            "node_environment": dict(node_environment or {}), "data_mib": data_mib,
            "first_http_port": first_http_port,
            "netns": f"candor-{id}" if netns else None, "key": None, "key_hash": None, "cut": [],
            "etcd": [], "nodes": []})
        try:
            self.make_shared_secrets(secrets_from)
            if netns:
                network.make_bridge(self.client_namespace)
            for i in range(etcd):
                self.make_etcd_member(f"etcd-{i + 1}")
            for i in range(nodes):
                self.make_node(f"node-{i + 1}")
            prepare(self)
            self.save()
            say(f"starting etcd ({etcd})")
            for m in self.etcd:
                self.launch(m)
            self.wait_for_etcd()
            say(f"starting {nodes} nodes")
            for n in self.nodes:
                n.launch()
            for n in self.nodes:
                n.wait_until_ready()
        except BaseException:
            self.save()
            self.end_processes()
            self.remove_networks()
            self.unmount()
            raise
        return self

    @classmethod
    def open(cls, folder):
        folder = pathlib.Path(folder).resolve()
        try:
            state = json.loads((folder / "state.json").read_text())
        except FileNotFoundError:
            raise ClusterError(f"there is no cluster in {folder}; `tools/cluster up` makes one") from None
        return cls(folder, state)

    def down(self, keep=False):
        with self.changing():
            self.end_processes()
            self.remove_networks()
            if not keep:
                self.unmount()
        if not keep:
            shutil.rmtree(self.folder)

    def end_processes(self):
        """Nodes first: they say goodbye to etcd."""
        for group in ([n.member for n in self.nodes], self.etcd):
            enders = [threading.Thread(target=m.stop) for m in group if m.is_alive()]
            for e in enders:
                e.start()
            for e in enders:
                e.join()

    def remove_networks(self):
        if self.netns:
            for m in self.members:
                network.remove(m.facts["namespace"])
            network.remove(self.client_namespace)

    def unmount(self):
        if self.state.get("data_mib"):
            for n in self.nodes:
                if os.path.ismount(n.data):
                    network.run("umount", str(n.data))

    # -- state -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def changing(self):
        """One at a time changes what the folder holds, and begins with what others made of it."""
        with self.mutex, open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refresh()
            yield
            if self.folder.exists():
                self.save()

    def refresh(self):
        try:
            found = json.loads((self.folder / "state.json").read_text())
        except FileNotFoundError:
            return
        by_name = {m.name: m for m in self.members}
        for facts in found["etcd"] + found["nodes"]:
            if facts["name"] in by_name:
                by_name[facts["name"]].facts.update(facts)
            else:
                self.nodes.append(ClusterNode(self, Member(facts)))
        self.state.update({k: v for k, v in found.items() if k not in ("etcd", "nodes")})

    def save(self):
        self.state["etcd"] = [m.facts for m in self.etcd]
        self.state["nodes"] = [n.member.facts for n in self.nodes]
        self.write("state.json", self.state)
        self.write("cluster.json", {
            "cluster": self.state["cluster"],
            "nodes": [{"name": n.name, "url": n.url, "pid": n.member.pid, "log": str(n.log)} for n in self.nodes],
            "ca": str(self.http_ca) if self.netns else None, "key": self.key, "namespace": self.client_namespace})

    def write(self, name, value):
        made = self.folder / (name + ".new")
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            json.dump(value, f, indent=1)
        made.rename(self.folder / name)

    # -- making members ----------------------------------------------------------------------------

    def make_shared_secrets(self, given=None):
        for name in ("nodes", "etcd", "http"):
            Authority(self.folder / "certificates", name).make()
        (self.folder / "secrets").mkdir(mode=0o700)
        for name in ("master.key", "cluster.secret"):
            text = (pathlib.Path(given) / name).read_text() if given else secrets.token_hex(32) + "\n"
            self.write_private(self.folder / "secrets" / name, text)
        if self.netns:  # beyond loopback a node asks for a key
            made = subprocess.run([str(self.bin_dir / "candorctl"), "key", "hash", "--new", "-o", "json"],
                                  capture_output=True, text=True, check=True, env=environment())
            made = json.loads(made.stdout)
            self.state.update(key=made["key"], key_hash=made["hash"])

    @staticmethod
    def write_private(file, text):
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(text)

    def new_facts(self, name):
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        facts = {"name": name, "folder": str(folder), "address": "127.0.0.1", "namespace": None}
        if self.netns:
            facts["address"] = f"10.77.0.{11 + len(self.members)}"
            facts["namespace"] = f"{self.netns}-{name}"
            network.join(facts["namespace"], self.client_namespace, facts["address"])
        return facts

    def authority(self, name):
        return Authority(self.folder / "certificates", name)

    def ports(self):
        """Of all members, those too that are not running."""
        return {port for m in self.members for kind, port in m.facts.items() if kind.endswith("_port")}

    def make_etcd_member(self, name):
        facts = self.new_facts(name)
        facts["client_port"], facts["peer_port"] = (2379, 2380) if self.netns else free_ports(2, self.ports())
        # No common name: etcd's HTTP gateway would take it for a user's.
        self.authority("etcd").sign(name, ["127.0.0.1", facts["address"]], ["localhost"])
        self.etcd.append(Member(facts))

    def make_node(self, name):
        facts = self.new_facts(name)
        facts["http_port"], facts["node_port"] = (8080, 7070) if self.netns else free_ports(2, self.ports())
        if self.state.get("first_http_port") and not self.netns:
            facts["http_port"] = free_port(max([self.state["first_http_port"], *(n.port + 1 for n in self.nodes)]))
        facts["url"] = f"{'https' if self.netns else 'http'}://{facts['address']}:{facts['http_port']}"
        addresses = ["127.0.0.1", facts["address"]]
        self.authority("nodes").sign(name, addresses, ["localhost", name], common_name=name)
        self.authority("etcd").sign(f"{name}-etcd", addresses)
        if self.netns:
            self.authority("http").sign(f"{name}-http", addresses, ["localhost"])
        keys = pathlib.Path(facts["folder"]) / "data" / "keys"
        if self.state.get("data_mib"):
            keys.parent.mkdir(mode=0o700)
            network.run("mount", "-t", "tmpfs", "-o", f"size={self.state['data_mib']}m,mode=0700", "none",
                        str(keys.parent))
        keys.mkdir(parents=True, mode=0o700)
        for secret in ("master.key", "cluster.secret"):
            self.write_private(keys / secret, (self.folder / "secrets" / secret).read_text())
        self.nodes.append(ClusterNode(self, Member(facts)))
        self.write_config(facts)

    def write_config(self, facts):
        certificates = self.folder / "certificates"
        configs = ROOT / "configs"
        given = {
            "name": facts["name"], "data": f"{facts['folder']}/data",
            "http": f"{facts['address']}:{facts['http_port']}", "log_level": "info",
            "clock": "settable" if self.state["settable_clock"] else "system",
            "cluster": self.state["cluster"],
            "etcd": ",".join(f"https://{m.facts['address']}:{m.facts['client_port']}" for m in self.etcd),
            "etcd_ca": certificates / "etcd-ca.crt", "etcd_certificate": certificates / f"{facts['name']}-etcd.crt",
            "etcd_key": certificates / f"{facts['name']}-etcd.key",
            "node_address": f"{facts['address']}:{facts['node_port']}", "node_ca": certificates / "nodes-ca.crt",
            "node_certificate": certificates / f"{facts['name']}.crt",
            "node_key": certificates / f"{facts['name']}.key",
            "shards": self.state["shards"], "replicas": self.state["replicas"],
            "in_sync_min": self.state["in_sync_min"], "cluster_nodes": self.state["cluster_nodes"],
            "regions": configs / "regions.toml", "lexicon": configs / "lexicon", "notices": configs / "notices"}
        if self.state["clock_start"]:
            given["clock_start"] = self.state["clock_start"]
        if self.netns:
            given["tls_certificate"] = certificates / f"{facts['name']}-http.crt"
            given["tls_key"] = certificates / f"{facts['name']}-http.key"
            given["admin"] = given["http"]  # the client's network stands for the operators' too
        given |= self.filled(self.state["settings"], facts)
        lines = [f"{k} = {v if isinstance(v, int) else json.dumps(str(v))}" for k, v in given.items()]
        policy = configs / "policies" / "ai-interactions-2025-12-16.1.toml"
        lines.append(f"policies = [{json.dumps(str(policy))}]")
        if self.netns:
            lines += ["[[keys]]", 'name = "operator"', 'role = "admin"', f"hash = {json.dumps(self.state['key_hash'])}"]
        self.write_private(pathlib.Path(facts["folder"]) / "node.toml", "\n".join(lines) + "\n")

    @staticmethod
    def filled(values, facts):
        return {k: v.replace("{folder}", facts["folder"]) if isinstance(v, str) else v for k, v in values.items()}

    # -- starting ----------------------------------------------------------------------------------

    def launch(self, member):
        with self.changing():
            if member in self.etcd:
                member.launch(self.etcd_command(member), environment())
            else:
                config = member.folder / "node.toml"
                more = self.filled(self.state.get("node_environment", {}), member.facts)
                member.launch([self.bin_dir / "candord", "--config", config], environment(**more))

    def etcd_command(self, member):
        certificates = self.folder / "certificates"

        def url(m, port):
            return f"https://{m.facts['address']}:{m.facts[port]}"
        command = ["etcd", "--name", member.name, "--data-dir", member.folder / "data",
                   "--initial-cluster", ",".join(f"{m.name}={url(m, 'peer_port')}" for m in self.etcd),
                   "--initial-cluster-token", self.state["cluster"], "--initial-cluster-state", "new",
                   "--listen-client-urls", url(member, "client_port"),
                   "--advertise-client-urls", url(member, "client_port"),
                   "--listen-peer-urls", url(member, "peer_port"),
                   "--initial-advertise-peer-urls", url(member, "peer_port"),
                   "--pre-vote", "--heartbeat-interval", "100", "--election-timeout", "750",
                   "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "10m",
                   "--logger", "zap", "--log-level", "warn"]
        for prefix in ("", "peer-"):
            command += [f"--{prefix}client-cert-auth", f"--{prefix}trusted-ca-file", certificates / "etcd-ca.crt",
                        f"--{prefix}cert-file", certificates / f"{member.name}.crt",
                        f"--{prefix}key-file", certificates / f"{member.name}.key"]
        return command

    def etcd_answers(self, member):
        """It has a leader: its own health check makes a read that needs one."""
        certificates = self.folder / "certificates"
        context = ssl.create_default_context(cafile=str(certificates / "etcd-ca.crt"))
        context.load_cert_chain(certificates / f"{member.name}.crt", certificates / f"{member.name}.key")
        connection = http.client.HTTPSConnection(member.facts["address"], member.facts["client_port"], timeout=3,
                                                 context=context)
        try:
            with network.inside(self.client_namespace):
                connection.connect()
            connection.request("GET", "/health")
            answer = connection.getresponse()
            return answer.status == 200 and json.loads(answer.read()).get("health") == "true"
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def wait_for_etcd(self, deadline_s=30):
        """Until all members that run have a leader."""
        until = time.monotonic() + deadline_s
        for m in self.etcd:
            while m.state() == "running" and not self.etcd_answers(m):
                if time.monotonic() > until:
                    raise ClusterError(f"{m.name} does not answer; its log {m.log} ends with:\n{m.log_tail()}")
                time.sleep(0.05)
        if not any(m.state() == "running" for m in self.etcd):
            raise ClusterError(f"etcd has ended; its log {self.etcd[0].log} ends with:\n{self.etcd[0].log_tail()}")

    def add(self):
        """One more node, ready."""
        with self.changing():
            number = 1 + max(int(n.name.rsplit("-", 1)[1]) for n in self.nodes)
            self.make_node(f"node-{number}")
        return self.nodes[-1].start()

    # -- cutting -----------------------------------------------------------------------------------

    def partition(self, names, others=None, one_way=False):
        """Cuts these members off from `others`, or from all that are not among them. Clients still reach all."""
        if not self.netns:
            raise ClusterError("on loopback nobody can be cut off: `tools/cluster up --netns` (as root) makes a "
                               "cluster whose members have networks of their own")
        with self.changing():
            cut = self.members_named(names)
            others = self.members_named(others) if others else self.members
            addresses = [m.facts["address"] for m in others if m not in cut]
            for m in cut:
                network.cut(m.facts["namespace"], addresses, one_way)
            self.state["cut"] = sorted({*self.state["cut"], *(m.name for m in cut)})

    def heal(self):
        with self.changing():
            if self.netns:
                for m in self.members:
                    network.heal(m.facts["namespace"])
            self.state["cut"] = []

    # -- looking -----------------------------------------------------------------------------------

    def candorctl(self, *arguments, check=True):
        """Runs it against whichever node answers; returns the finished process, with text output."""
        with network.inside(self.client_namespace):
            done = subprocess.run([str(self.bin_dir / "candorctl"), *map(str, arguments)], capture_output=True,
                                  text=True,
                                  env=environment(CANDOR_CLUSTER_FILE=str(self.folder / "cluster.json")))
        if check and done.returncode != 0:
            raise ClusterError(f"candorctl {' '.join(map(str, arguments))} exited {done.returncode}: "
                               f"{done.stderr or done.stdout}")
        return done

    def wait_until_healthy(self, within_s=120):
        self.candorctl("cluster", "health", "--exit-when-healthy", "--within", f"{within_s}s", "-o", "jsonl")

    def view(self):
        """What `GET /v1/cluster` says, by the first node that answers."""
        why = "no node runs"
        for n in self.nodes:
            if n.state() != "running":
                continue
            try:
                answer = n.call("GET", "/v1/cluster", timeout=5)
                if answer.status == 200:
                    return answer.json()
                why = f"{n.name} answers {answer.status}: {answer.body}"
            except (OSError, http.client.HTTPException) as e:
                why = f"{n.name}: {e}"
        raise ClusterError(why)

    def shard_of(self, user):
        """As storage_key::shard has it: the top bits of the user's keyed hash."""
        secret = bytes.fromhex((self.folder / "secrets" / "cluster.secret").read_text().strip())
        key = hashlib.blake2b(user.encode(), digest_size=16, key=secret).digest()
        return int.from_bytes(key[:2], "big") >> (16 - (self.state["shards"].bit_length() - 1))

    def status(self):
        """As the machine sees it; what the nodes say of themselves is `candorctl cluster status`."""
        return {
            "cluster": self.state["cluster"], "folder": str(self.folder), "shards": self.state["shards"],
            "replicas": self.state["replicas"], "in_sync_min": self.state["in_sync_min"],
            "nodes": [{"name": n.name, "state": n.state(), "ready": n.state() == "running" and n.is_ready(),
                       "pid": n.member.pid, "url": n.url, "cut": n.name in self.state["cut"], "log": str(n.log)}
                      for n in self.nodes],
            "etcd": [{"name": m.name, "state": m.state(), "ready": m.state() == "running" and self.etcd_answers(m),
                      "pid": m.pid, "url": f"https://{m.facts['address']}:{m.facts['client_port']}",
                      "cut": m.name in self.state["cut"], "log": str(m.log)} for m in self.etcd]}
