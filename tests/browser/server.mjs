// A real `meshtrail serve` on loopback, and sessions sent to it as tailscaled sends them (recorder protocol, v1).
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

// Bounds a wait that never ends; a machine whose cores are all taken is slow.
const PATIENCE = 120_000;

const binary = process.env.MESHTRAIL_BIN ?? "meshtrail";

/** `directory`: the text of a directory file (TOML), for sessions of people whom the mesh knows. */
export async function serve({ directory } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "meshtrail-browser-"));
  const ready = join(folder, "ready.json");
  const config = join(folder, "meshtrail.toml");
  writeFileSync(join(folder, "directory.toml"), directory ?? "");
  writeFileSync(config, directory ? `directory = ${JSON.stringify(join(folder, "directory.toml"))}\n` : "");
  const options = ["--store", join(folder, "store"), "--config", config, "--listen", "127.0.0.1:0", "--recorder-listen", "127.0.0.1:0", "--ready-file", ready];
  const process_ = spawn(binary, ["serve", ...options], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  process_.stderr.on("data", (text) => { log = (log + text).slice(-20000); });
  const began = performance.now();
  while (!existsSync(ready) || readFileSync(ready, "utf8") === "") {
    if (performance.now() - began > PATIENCE || process_.exitCode !== null) throw new Error(`meshtrail serve did not become ready:\n${log}`);
    await pause(100);
  }
  const { listen, recorder_listen: [recorder], admin_token_file: tokenFile } = JSON.parse(readFileSync(ready, "utf8"));
  return {
    url: `http://${listen}`, recorder, token: readFileSync(tokenFile, "utf8").trim(), log: () => log,
    async stop() {
      process_.kill("SIGTERM");
      if (process_.exitCode === null) await once(process_, "exit");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Asks the API with the admin token. */
export async function ask(server, path, options = {}) {
  const answer = await fetch(server.url + path, { ...options, headers: { authorization: `Bearer ${server.token}`, ...options.headers } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

const HEADER = {
  version: 2, width: 80, height: 24, timestamp: Math.floor(Date.now() / 1000), srcNode: "laptop.tail.example", srcNodeID: "7", srcNodeUserID: 3,
  srcNodeUser: "alice@example.com", env: { TERM: "xterm-256color" }, sshUser: "root", localUser: "root", connectionID: "ssh-conn-20260101T000000-0a1b2c3d4e",
};

/** Opens a recording from a node's address; `write` sends a line, `end` ends it in order, `break` cuts it off. */
export async function record(server, header = {}, localAddress = "127.0.0.1") {
  const [host, port] = server.recorder.split(":");
  const upload = request({ host, port, localAddress, path: "/record", method: "POST", headers: { expect: "100-continue", "transfer-encoding": "chunked" } });
  upload.on("error", () => {});
  upload.flushHeaders();
  await once(upload, "continue");
  const write = (line) => new Promise((done) => { upload.write(`${JSON.stringify(line)}\n`, done); });
  await write({ ...HEADER, ...header });
  return {
    write,
    async end() {
      const answered = once(upload, "response");
      upload.end();
      const [response] = await answered;
      response.resume();
      return response.statusCode;
    },
    break() { upload.destroy(); },
  };
}

/** A whole session of these outputs, half a second apart. */
export async function recordWhole(server, header, outputs) {
  const session = await record(server, header);
  let time = 0;
  for (const output of outputs) await session.write([time += 0.5, "o", output]);
  return session.end();
}

/** The session that `pick` finds, once the server has it in that state. */
export async function untilSession(server, pick) {
  return until("a session", async () => {
    const { sessions } = await (await ask(server, "/api/v1/sessions?limit=100")).json();
    return sessions.find(pick);
  });
}

/** What `look` finds, once it finds something. */
export async function until(what, look) {
  for (const began = performance.now(); performance.now() - began < PATIENCE; await pause(100)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`waited for ${what}, which did not come`);
}
