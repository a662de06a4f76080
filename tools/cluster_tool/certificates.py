"""Certificates for a cluster on one machine, made with openssl: an authority for each border, and what it signs.

Valid for a month; the keys lie in the cluster's folder, for its owner alone.
"""

import pathlib
import subprocess

DAYS = "30"


def run_openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


class Authority:
    """Signs for one border: links between nodes, HTTP, or etcd. Who is trusted at one is nobody at the others."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.certificate = self.folder / f"{name}-ca.crt"
        self.key = self.folder / f"{name}-ca.key"

    def make(self):
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        run_openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
                    "-subj", f"/O=candor local cluster/OU={self.name}", "-addext", "keyUsage=critical,keyCertSign",
                    "-keyout", self.key, "-out", self.certificate)
        return self

    def sign(self, file_name, addresses, names=(), common_name=None):
        """(certificate, key), for both ends of a connection. Without a common name there is none in it."""
        certificate, key = self.folder / f"{file_name}.crt", self.folder / f"{file_name}.key"
        request, extensions = self.folder / f"{file_name}.csr", self.folder / f"{file_name}.ext"
        subject = f"/O=candor local cluster/CN={common_name}" if common_name else "/O=candor local cluster"
        run_openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                    "-keyout", key, "-out", request)
        alternatives = [f"IP:{a}" for a in dict.fromkeys(addresses)] + [f"DNS:{n}" for n in dict.fromkeys(names)]
        extensions.write_text("basicConstraints=critical,CA:FALSE\n"
                              "keyUsage=critical,digitalSignature\n"
                              "extendedKeyUsage=serverAuth,clientAuth\n"
                              f"subjectAltName={','.join(alternatives)}\n")
        run_openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                    "-days", DAYS, "-extfile", extensions, "-out", certificate)
        request.unlink()
        extensions.unlink()
        return certificate, key
