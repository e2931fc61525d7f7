//! SSH sessions on a real tailnet, and their recordings.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{
    Enforcement, Node, Server, Setup, Ssh, Tailnet, WAIT_LIMIT, child_command, run, sha256, until,
};
use serde_json::Value;
use tempfile::TempDir;

/// Two nodes, and a recorder on the machine of the SSH server's tailscaled.
struct Place {
    folder: TempDir,
    _tailnet: Tailnet,
    _client: Node,
    node: Node,
    server: Server,
    ssh: Ssh,
}

async fn place(enforcement: Enforcement) -> Result<Place> {
    let folder = tempfile::tempdir()?;
    let tailnet = Tailnet::start(folder.path()).await?;
    let node = tailnet.join("web", true).await?;
    let client = tailnet.join("laptop", false).await?;
    let server =
        Server::start(folder.path(), &Setup { socket: Some(node.socket.clone()), ..Setup::default() })
            .await?;
    tailnet.rename(&client, "alice@example.com", "Alice").await?;
    // The node reaches its own recorder over the tailnet, so that tailscaled can identify the connection.
    let port = server.recorder.rsplit(':').next().context("an address has a port")?;
    let recorder = format!("{}:{port}", node.address().await?);
    tailnet.record(&node, &[recorder], enforcement).await?;
    let ssh = Ssh::between(&client, &node).await?;
    Ok(Place { folder, _tailnet: tailnet, _client: client, node, server, ssh })
}

impl Place {
    async fn ended_session(&self, command: &str) -> Result<Value> {
        let what = format!("the session of {command:?} to end");
        self.server.session(&what, |one| one["command"] == command && one["state"] == "ended").await
    }

    /// Exports a session and checks its bytes against the list and the trail.
    async fn export(&self, session: &Value) -> Result<String> {
        let id = session["id"].as_str().context("a session has an id")?;
        let file = self.folder.path().join(format!("{id}.cast"));
        self.server.ok(&["sessions", "export", id, "--output", &file.display().to_string()]).await?;
        let bytes = std::fs::read(&file)?;
        assert_eq!(session["sha256"], sha256(&bytes), "the exported bytes are the received ones");
        assert_eq!(session["bytes"], bytes.len());
        Ok(String::from_utf8(bytes)?)
    }

    /// The output of asciinema for an exported session.
    async fn play(&self, session: &Value) -> Result<String> {
        let id = session["id"].as_str().context("a session has an id")?;
        self.export(session).await?;
        asciinema(&self.folder.path().join(format!("{id}.cast"))).await
    }
}

async fn asciinema(file: &Path) -> Result<String> {
    // It needs a terminal; `script` provides one, which turns each line feed into two characters.
    let mut command = child_command("script");
    command.args([
        "--quiet",
        "--return",
        "--command",
        &format!("asciinema cat '{}'", file.display()),
        "/dev/null",
    ]);
    // It creates an install id on first use.
    command.env("HOME", file.parent().context("a file lies in a folder")?);
    let output = run("asciinema cat", command, WAIT_LIMIT).await?;
    let shown = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    ensure!(output.status.success(), "asciinema: {shown}");
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_recorded_listed_exported_and_verified_and_its_exit_status_comes_through() -> Result<()>
{
    let place = place(Enforcement::Open).await?;
    let output = place.ssh.command("echo to the screen; echo to stderr >&2; exit 3").await?;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"to the screen\n");
    assert_eq!(output.stderr, b"to stderr\n");

    let session = place.ended_session("echo to the screen; echo to stderr >&2; exit 3").await?;
    assert_eq!(session["actor"]["person"]["login"], "alice@example.com", "{session:#}");
    assert_eq!(session["actor"]["device"]["name"], "laptop.tail.example");
    assert_eq!(session["target"]["device"]["name"], "web.tail.example");
    assert_eq!(session["local_user"], "root");
    assert_eq!(session["identity"]["status"], "resolved");
    assert_eq!(session["protocol"], "v2");

    let cast = place.export(&session).await?;
    assert!(cast.contains("to the screen"));
    assert_eq!(place.play(&session).await?, "to the screen\n");
    let verdict = place.server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_does_not_send_is_named_as_not_seen() -> Result<()> {
    let place = place(Enforcement::Open).await?;
    place.ssh.command("echo only this; echo not this >&2").await?;
    let session = place.ended_session("echo only this; echo not this >&2").await?;
    let not_seen: Vec<String> = serde_json::from_value(session["not_seen"].clone())?;
    for what in ["stdin", "stderr", "exit status", "SFTP", "forwarding"] {
        assert!(not_seen.iter().any(|one| one.contains(what)), "{what} in {not_seen:?}");
    }
    let body: String = place.export(&session).await?.lines().skip(1).collect();
    assert!(body.contains("only this") && !body.contains("not this"), "{body}");
    let shown = place.server.ok(&["sessions", "show", session["id"].as_str().context("an id")?]).await?;
    assert!(shown.contains("stderr"), "`sessions show` says so too: {shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_on_a_terminal_is_live_can_be_resized_and_plays() -> Result<()> {
    let place = place(Enforcement::Open).await?;
    let mut shell = place.ssh.shell(&[])?;
    shell.wait_until_ready().await?;
    let live = place.server.session("the shell to be live", |one| one["state"] == "live").await?;
    assert!(live.get("command").is_none() && live["width"] == 100 && live["height"] == 30, "{live:#}");

    shell.resize(40, 132).await?;
    // The new size is sent independently of the keystrokes.
    until("the new size to arrive", WAIT_LIMIT, async || {
        shell.type_line("stty size").ok()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        shell.screen().contains("40 132").then_some(())
    })
    .await?;
    shell.type_line("printf '\\033[31mred\\033[0m\\n'; exit")?;
    shell.end().await?;

    let session = place
        .server
        .session("the shell to end", |one| one["id"] == live["id"] && one["state"] == "ended")
        .await?;
    let played = place.play(&session).await?;
    assert!(played.contains("40 132") && played.contains("\u{1b}[31mred"), "{played:?}");
    assert!(place.server.verify().await?.holds);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_is_followed_from_the_middle_until_its_end() -> Result<()> {
    let place = place(Enforcement::Open).await?;
    let mut shell = place.ssh.shell(&[])?;
    shell.wait_until_ready().await?;
    shell.type_line("echo before")?;
    shell.wait_for("before\r\n").await?;
    let live = place.server.session("the shell to be live", |one| one["state"] == "live").await?;
    let id = live["id"].as_str().context("an id")?.to_owned();
    let follow = ["sessions", "follow", &id, "--json"];
    let (followed, typed) = tokio::join!(place.server.ok(&follow), async {
        // A follower is in the trail as soon as it follows.
        let question = format!("/api/v1/events?q=kind:meshtrail.viewed%20session:{id}");
        until("somebody to follow", WAIT_LIMIT, async || {
            let viewed = place.server.json(&question).await.ok()?;
            viewed["events"].as_array()?.iter().any(|one| one["detail"]["what"] == "follow").then_some(())
        })
        .await?;
        shell.type_line("echo after; exit")?;
        shell.end().await
    });
    typed?;
    let followed = followed?;
    let header: Value = serde_json::from_str(followed.lines().next().context("a header")?)?;
    assert_eq!(header["version"], 2);
    assert!(followed.contains("before") && followed.contains("after"), "{followed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn file_copies_work_and_only_the_old_scp_is_a_recorded_session() -> Result<()> {
    let place = place(Enforcement::Open).await?;
    let file = place.folder.path().join("sent.txt");
    std::fs::write(&file, "a file that is sent\n")?;
    let target = |name: &str| place.folder.path().join(name).display().to_string();

    let output = place.ssh.scp(&file, &target("by-sftp"), false).await?;
    ensure!(output.status.success(), "scp: {}", String::from_utf8_lossy(&output.stderr));
    let output = place.ssh.scp(&file, &target("by-scp"), true).await?;
    ensure!(output.status.success(), "scp -O: {}", String::from_utf8_lossy(&output.stderr));
    let mut sftp = place.ssh.client("sftp");
    let batch = place.folder.path().join("batch");
    std::fs::write(&batch, format!("put {} {}\n", file.display(), target("by-batch")))?;
    sftp.arg("-b").arg(&batch).arg(place.ssh.user_at_host());
    let output = run("sftp", sftp, WAIT_LIMIT).await?;
    ensure!(output.status.success(), "sftp: {}", String::from_utf8_lossy(&output.stderr));
    for name in ["by-sftp", "by-scp", "by-batch"] {
        assert_eq!(std::fs::read_to_string(target(name))?, "a file that is sent\n");
    }

    let scp = place.server.session("scp's session", |one| one["state"] == "ended").await?;
    assert!(scp["command"].as_str().is_some_and(|command| command.starts_with("scp -t")), "{scp:#}");
    assert_eq!(place.server.sessions().await?.len(), 1, "SFTP never reaches a recorder");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_agent_works_and_the_session_is_recorded() -> Result<()> {
    let place = place(Enforcement::Open).await?;
    let socket = place.folder.path().join("agent.sock");
    let mut agent = child_command("ssh-agent");
    agent.args(["-D", "-a"]).arg(&socket);
    let _agent = meshtrail_e2e::Process::start("agent", place.folder.path(), agent)?;
    until("the agent's socket", WAIT_LIMIT, async || socket.exists().then_some(())).await?;
    let mut ssh = place.ssh.client("ssh");
    ssh.args(["-A"]).arg(place.ssh.user_at_host()).arg("test -S \"$SSH_AUTH_SOCK\" && echo forwarded");
    ssh.env("SSH_AUTH_SOCK", &socket);
    let output = run("ssh -A", ssh, WAIT_LIMIT).await?;
    assert_eq!(output.stdout, b"forwarded\n", "{}", String::from_utf8_lossy(&output.stderr));
    let session = place.server.session("the session to end", |one| one["state"] == "ended").await?;
    assert!(place.export(&session).await?.contains("forwarded"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_session_ends_where_recording_is_enforced_and_its_user_reads_why() -> Result<()> {
    let place = place(Enforcement::Closed).await?;
    let mut shell = place.ssh.shell(&[])?;
    shell.wait_until_ready().await?;
    let live = place.server.session("the shell to be live", |one| one["state"] == "live").await?;
    let id = live["id"].as_str().context("an id")?;
    place.server.ok(&["sessions", "kill", id, "--reason", "a test", "--message", "please call ops"]).await?;
    let (seen, status) = shell.end().await?;
    assert!(seen.contains(meshtrail_e2e::ENDED_MESSAGE), "the policy's message is shown: {seen}");
    assert_ne!(status, Some(0));
    until("tailscaled to log the operator's message", WAIT_LIMIT, async || {
        place.node.log().contains("please call ops").then_some(())
    })
    .await?;
    let session =
        place.server.session("the session's end", |one| one["id"] == id && one["state"] != "live").await?;
    assert!(session["sha256"].is_string(), "what was recorded until then is kept: {session:#}");
    let events = place.server.ok(&["events", "query", "kind:meshtrail.killed", "--json"]).await?;
    assert!(events.contains("a test") && events.contains(id), "{events}");
    assert!(place.server.verify().await?.holds);
    Ok(())
}
