"""The Postgres wire message by message, as JDBC drivers speak it: answers in portions, and how a client is let in.

Usage: portals.py PORT USER PASSWORD CONNECTIONS. Prints one JSON object.
"""

import json
import socket
import struct
import sys


class Wire:
    """One connection."""

    def __init__(self, port, user, password):
        self.socket = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
        self.file = self.socket.makefile("rb")
        words = ["user", user, "database", "meshtrail"]
        body = struct.pack("!i", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.error = None
        while True:
            kind, body = self.message()
            if kind == "R" and struct.unpack("!i", body[:4])[0] == 3:
                self.send("p", password.encode() + b"\0")
            elif kind == "E":
                self.error = state(body)
                return
            elif kind in ("Z", ""):
                return

    def send(self, kind, body=b""):
        self.socket.sendall(kind.encode() + struct.pack("!i", len(body) + 4) + body)

    def message(self):
        head = self.file.read(5)
        if len(head) < 5:
            return "", b""
        return head[:1].decode(), self.file.read(struct.unpack("!i", head[1:])[0] - 4)

    def until_ready(self):
        """Everything up to the server's being ready: kinds in order, rows as a number, errors by their state."""
        told, rows = [], 0
        while True:
            kind, body = self.message()
            if not kind:
                raise EOFError(told)
            if kind == "D":
                rows += 1
                continue
            if rows and kind in "sCE":
                told.append(rows)
                rows = 0
            if kind == "E":
                told.append(state(body))
            elif kind == "C":
                told.append(body[:-1].decode())
            elif kind == "Z":
                return told + [body.decode()]
            elif kind not in "S":
                told.append(kind)

    def ask(self, sql):
        self.send("Q", sql.encode() + b"\0")
        return self.until_ready()

    def bind(self, portal, sql):
        self.send("P", b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))
        self.send("B", portal.encode() + b"\0\0" + struct.pack("!hhh", 0, 0, 0))

    def execute(self, portal, most):
        self.send("E", portal.encode() + b"\0" + struct.pack("!i", most))
        self.send("S")
        return self.until_ready()


def state(body):
    fields = dict((field[:1], field[1:]) for field in body.split(b"\0") if field)
    return fields[b"C"].decode()


def main(port, user, password, connections):
    told = {}
    wire = Wire(port, user, password)
    sql = "select index from flow order by index"
    wire.ask("begin")
    wire.bind("portion", sql)
    told["portions"] = [wire.execute("portion", 1000) for _ in range(4)]
    # Another question between two portions, and a number of rows that nobody has memory for.
    wire.bind("other", sql)
    told["between"] = [wire.execute("other", 10), wire.ask("select 1"), wire.execute("other", 2**31 - 1)]
    told["ends"] = [wire.ask("commit"), wire.execute("other", 1)]
    # Outside a transaction a portal lives until the next Sync.
    wire.bind("short", sql)
    told["outside"] = [wire.execute("short", 10), wire.execute("short", 10)]
    told["let_in"] = [Wire(port, user, "mt_wrong").error]
    others = [Wire(port, user, password) for _ in range(int(connections))]
    told["let_in"] += [others[0].error, others[-1].error]
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
