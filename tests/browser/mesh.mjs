// A mesh of people and devices with their changes and traffic, handed in through the API as a collector would:
// long names, right-to-left ones, forty tags, a name that tries to be markup, an address that three devices had.
import { ask, until } from "./server.mjs";

const NOW = Date.now();
const HOUR = 3600_000;
const at = (hoursAgo) => new Date(NOW - hoursAgo * HOUR).toISOString();

export const ODD = {
  long: "a-very-long-login-name-that-somebody-chose@subdomain.of.a.very-long-company-name.example.com",
  rtl: "שלום@דוגמה.example",
  markup: "<script>alert(1)</script>@example.com",
  login: "alice@example.com",
};

const PEOPLE = [ODD.login, ODD.long, ODD.rtl, ODD.markup, ...Array.from({ length: 116 }, (_, n) => `person-${n}@example.com`)];
const TAGS = ["tag:prod", "tag:db", "tag:ci", "tag:edge", "tag:kiosk", "tag:web"];

const person = (login, number) => ({
  id: `u${number}`, login, name: login === ODD.rtl ? "שלום עולם" : `Person ${number}`, role: number === 0 ? "owner" : number < 4 ? "admin" : "member",
  status: number === 7 ? "suspended" : "active", groups: [`group:team-${number % 9}`, ...(number % 5 ? [] : ["group:oncall"])], created: at(24 * 90),
});

const device = (number) => {
  const tagged = number % 5 === 4;
  const name = number === 3 ? `laptop-${"x".repeat(48)}.tail.example` : `${tagged ? "srv" : "laptop"}-${number}.tail.example`;
  return {
    id: `n${number}CNTRL`, name, hostname: name.split(".")[0], os: tagged ? "linux" : ["macOS", "windows", "linux"][number % 3],
    addresses: [`100.64.${Math.floor(number / 250)}.${(number % 250) + 1}`, `fd7a:115c:a1e0::${(number + 1).toString(16)}`],
    ...(tagged ? { tags: number === 4 ? Array.from({ length: 40 }, (_, tag) => `tag:team-${tag}-production`) : [TAGS[number % TAGS.length]], key_expiry_disabled: true } : { owner: PEOPLE[number % PEOPLE.length], expires: at(number % 11 === 0 ? 5 : -24 * 60) }),
    authorized: number !== 12, client_version: "1.98.9-t0123456789abcdef", created: at(24 * 80), last_seen: at(number % 48), node_key: `nodekey:${String(number).padStart(64, "0")}`,
    ...(number === 9 ? { advertised_routes: ["10.20.0.0/16", "0.0.0.0/0", "::/0", "192.0.2.0/24"], enabled_routes: ["10.20.0.0/16", "0.0.0.0/0", "::/0"] } : {}),
  };
};

const told = (kind, time, state, of, more = {}) => ({
  kind, time, outcome: "success",
  target: { type: of, id: state.id, name: state.name ?? state.login, ...(of === "device" ? { device: { id: state.id, name: state.name, addresses: state.addresses, tags: state.tags ?? [] } } : { person: { login: state.login, id: state.id } }) },
  detail: { origin: "snapshot", property: of, new: state, ...more },
});

const actor = (number) => {
  const { id, name, addresses, owner, tags } = device(number);
  return { device: { id, name, addresses, ...(tags ? { tags } : {}) }, ...(tags ? { tags } : { person: { login: owner } }) };
};

const known = { status: "resolved", provider: "headscale", as_of: at(1) };

function* directory(devices) {
  for (const [number, login] of PEOPLE.entries()) yield told("config.snapshot", at(24 * 29), person(login, number), "user");
  for (let number = 0; number < devices; number += 1) yield told("config.snapshot", at(24 * 29), device(number), "device");
}

/** What happened to some of them: an address that went from one to the next, a rename, a role, a contradiction. */
function* changes() {
  const by = { actor: { person: { login: ODD.login } }, identity: known };
  const first = { ...device(900), id: "nOld1CNTRL", name: "old-1.tail.example", addresses: ["100.64.9.9"], owner: "person-3@example.com" };
  const second = { ...first, id: "nOld2CNTRL", name: "old-2.tail.example", owner: "person-4@example.com" };
  const third = { ...first, id: "nNewCNTRL", name: "new-9.tail.example", owner: ODD.login };
  yield told("device.added", at(24 * 20), first, "device", { summary: "old-1 joined, owned by person-3@example.com" });
  yield { ...told("device.removed", at(24 * 15), first, "device", { old: first, summary: "old-1 was removed" }), detail: { origin: "snapshot", property: "device", old: first, summary: "old-1 was removed" } };
  yield told("device.added", at(24 * 14), second, "device", { summary: "old-2 joined, owned by person-4@example.com" });
  yield { ...told("device.removed", at(24 * 8), second, "device"), detail: { origin: "snapshot", property: "device", old: second, summary: "old-2 was removed" } };
  yield told("device.added", at(24 * 7), third, "device", { summary: `new-9 joined, owned by ${ODD.login}` });
  const renamed = { ...third, name: "db-9.tail.example" };
  yield { ...told("device.renamed", at(60), renamed, "device", { old: third, origin: "audit-log", summary: "renamed new-9 to db-9", operation: "op-1" }), ...by };
  const tagged = { ...renamed, owner: undefined, tags: ["tag:db", "tag:prod"] };
  yield { ...told("device.tagged", at(40), tagged, "device", { old: renamed, origin: "audit-log", summary: "put tag:db and tag:prod on db-9", lines: ["tag:db was added", "tag:prod was added", `it no longer belongs to ${ODD.login}`] }), ...by };
  const claimed = { ...tagged, owner: "person-8@example.com", tags: undefined };
  yield told("config.snapshot", at(39), claimed, "device", { origin: "localapi" });
  yield told("config.snapshot", at(30), tagged, "device", { origin: "headscale" });
  yield told("config.snapshot", at(29.9), claimed, "device", { origin: "localapi" });
  const admin = { ...person("person-3@example.com", 7), login: "person-3@example.com", role: "admin" };
  yield { ...told("user.role_changed", at(30), admin, "user", { old: { ...admin, role: "member" }, origin: "audit-log", summary: "made person-3@example.com an admin" }), ...by };
  const diff = "@@ -3,7 +3,9 @@\n   \"acls\": [\n     {\"action\": \"accept\", \"src\": [\"group:dba\"], \"dst\": [\"tag:db:5432\"]},\n-    {\"action\": \"accept\", \"src\": [\"group:sre\"], \"dst\": [\"tag:prod:22\"]},\n+    // on call may reach production, since the night of the 12th\n+    {\"action\": \"accept\", \"src\": [\"group:sre\", \"group:oncall\"], \"dst\": [\"tag:prod:22,443\"]},\n   ],\n   \"ssh\": [";
  yield { kind: "policy.changed", time: at(6), outcome: "success", ...by, target: { type: "policy", name: "policy file" }, detail: { origin: "audit-log", summary: "changed the policy: group:oncall may now reach tag:prod on 22 and 443", lines: ["group:oncall may reach tag:prod on ports 22 and 443", "group:sre may reach tag:prod on port 443 too"], diff, property: "policy" } };
  const long = `@@ -1,200 +1,200 @@\n${Array.from({ length: 100 }, (_, line) => `-  "host-${line}": "192.0.2.${line}",\n+  "host-${line}": "198.51.100.${line}", // ${"long ".repeat(30)}`).join("\n")}`;
  yield { kind: "policy.changed", time: at(100), outcome: "success", ...by, target: { type: "policy", name: "policy file" }, detail: { origin: "snapshot", not_before: at(101), summary: "changed the policy: a hundred hosts moved", diff: long, property: "policy" } };
  yield { kind: "dns.changed", time: at(80), outcome: "success", target: { type: "dns", name: "DNS" }, detail: { origin: "snapshot", not_before: at(84), summary: "MagicDNS was switched off", property: "magic_dns" } };
  yield { kind: "key.created", time: at(3), outcome: "success", ...by, target: { type: "key", id: "k123CNTRL", name: "k123CNTRL" }, detail: { origin: "audit-log", summary: "made an auth key that can be used again and again", property: "key" } };
}

/** Logins in working hours and some at night, of which a few were refused. */
function* logins(days) {
  for (let day = 0; day < days; day += 1) {
    for (let turn = 0; turn < 14; turn += 1) {
      const hour = turn === 13 ? 3 : 8 + (turn * 5 + day) % 10;
      const time = new Date(NOW - day * 24 * HOUR);
      time.setUTCHours(hour, (turn * 7) % 60, 0, 0);
      if (time.getTime() > NOW) continue;
      const refused = turn === 13 && day % 3 === 0;
      const number = turn % 4 === 0 ? 240 : turn * 3;
      yield { kind: "ssh.login", time: time.toISOString(), outcome: refused ? "denied" : "success", actor: { ...actor(0), ...(number === 240 ? {} : { device: actor(120).device }) }, identity: known, target: { account: "root", device: { id: "n9CNTRL", name: "srv-9.tail.example" } }, detail: { method: "tailscale", peer: "100.64.0.1:51820", ...(refused ? { reason: "no rule lets them in" } : {}) } };
    }
  }
  yield { kind: "ssh.login", time: at(2), outcome: "success", actor: { person: { login: "person-5@example.com" } }, identity: { status: "conflicting", provider: "headscale", claimed: { login: ODD.login } }, target: { account: "root" }, detail: {} };
}

/** Both ends' counts of what went between devices; some report nothing, some only what they send. */
function* flows(devices, windows) {
  for (let number = 0; number < windows; number += 1) {
    const near = (number * 7) % devices;
    const far = number % 3 ? ((number % 40) * 5 + 4) % devices : (number * 13 + 1) % devices;
    if (near === far) continue;
    const [tx, rx] = [((number * 7919) % 90_000) + 40, ((number * 104_729) % 900_000) + 90];
    const time = new Date(NOW - (number % 1380) * 60_000 - 60_000).toISOString();
    const report = (one, other, out, back) => ({
      kind: "flow.counted", time, outcome: "success", actor: actor(one), identity: known,
      target: { address: `${device(other).addresses[0]}:443`, device: { id: device(other).id, name: device(other).name, tags: device(other).tags ?? [] }, ...(device(other).owner ? { person: { login: device(other).owner } } : {}) },
      detail: { layer: number % 17 ? "virtual" : "subnet", start: time, end: new Date(Date.parse(time) + 5000).toISOString(), reporter: device(one).id, src: `${device(one).addresses[0]}:50000`, src_node: device(one).id, dst: `${device(other).addresses[0]}:443`, dst_node: device(other).id, proto: 6, tx_bytes: out, rx_bytes: back, tx_packets: 10, rx_packets: 12 },
    });
    yield report(near, far, tx, rx);
    if (far % 7 !== 4) yield report(far, near, rx, far % 11 === 4 ? 0 : tx);
  }
}

/** Hands a mesh in, and waits until the directory knows it. */
export async function fill(server, { devices = 500, windows = 6000, days = 28 } = {}) {
  const { secret } = await (await ask(server, "/api/v1/tokens", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name: "mesh", role: "sender" }) })).json();
  let sequence = 0;
  let lines = [];
  const send = async () => {
    const answer = await fetch(`${server.url}/api/v1/events`, { method: "POST", headers: { authorization: `Bearer ${secret}`, "content-type": "application/x-ndjson" }, body: lines.join("\n") });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    lines = [];
  };
  for (const events of [directory(devices), changes(), logins(days), flows(devices, windows)]) {
    for (const event of events) {
      lines.push(JSON.stringify({ id: `mesh.1.${sequence += 1}`, ...event }));
      if (lines.length === 1000) await send();
    }
  }
  if (lines.length) await send();
  await until("the directory to learn the devices", async () => {
    const { known: count } = await (await ask(server, "/api/v1/devices?limit=1")).json();
    return count >= devices + 3;
  });
  return sequence;
}
