"""A mail server on a free port of the loopback. Prints its port, then a line of JSON for every message it took.

The recipient's local part says how it behaves: `rcpt451`, `rcpt550` answer RCPT, `data452`, `data554` answer the
message, `hang` never answers it, `drop` closes the connection instead. A mode may be named on the command line:
`greet554`,
`greet421` (every connection is refused), `mute` (accepts and says nothing), `starttls CERTIFICATE KEY`.
"""
import asyncio
import json
import logging
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode = sys.argv[1] if len(sys.argv) > 1 else "plain"
connections = 0
logging.disable(logging.CRITICAL)  # clients that break off are what is tested


class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        word = address.split("@")[0]
        if word.startswith("rcpt"):
            return f"{word[4:]} <{address}> is not taken here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        word = envelope.rcpt_tos[0].split("@")[0]
        if word.startswith("data"):
            return f"{word[4:]} not for {envelope.rcpt_tos[0]}"
        if word == "hang":
            await asyncio.sleep(3600)
        if word == "drop":
            server.transport.abort()
            await asyncio.sleep(3600)
        print(json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "greeting": session.host_name,
            "connection": session.number, "tls": session.ssl is not None,
            "user": session.auth_data.login.decode() if session.authenticated else "",
            "message": envelope.content.decode("ascii"),
        }), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=data.password == b"right", handled=False, auth_data=data)


class Session(SMTP):
    def _create_session(self):
        global connections
        connections += 1
        session = super()._create_session()
        session.number = connections
        return session


async def refuse(reader, writer):
    if mode != "mute":
        writer.write(f"{mode[5:]} no service\r\n".encode())
        await writer.drain()
        writer.close()
    else:
        await asyncio.sleep(3600)


def session():
    if mode == "starttls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        return Session(Sink(), tls_context=context, require_starttls=True, authenticator=authenticate)
    return Session(Sink(), authenticator=authenticate, auth_require_tls=False)


async def main():
    loop = asyncio.get_running_loop()
    if mode == "mute" or mode.startswith("greet"):
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    else:
        server = await loop.create_server(session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
