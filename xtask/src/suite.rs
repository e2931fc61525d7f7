//! The steps of the chores in their order, and the counting of results.

use std::thread;

use anyhow::{Result, bail};

use crate::peers as real_peers;
use crate::run::Run;
use crate::tally::{Tally, TestCounts};
use crate::tools::{self, Tools};

/// One file of end-to-end tests and its requirements.
struct Topic {
    name: &'static str,
    needs: &'static [&'static str],
}

const TAILNET: &[&str] = &["ssh", "tailnet", "tailscaled", "tailscale"];

const TOPICS: [Topic; 18] = [
    Topic { name: "sessions", needs: &["ssh", "asciinema", "tailnet", "tailscaled", "tailscale"] },
    Topic { name: "failures", needs: TAILNET },
    Topic { name: "headscale", needs: &["ssh", "headscale", "tailscaled", "tailscale"] },
    Topic { name: "headscale_changes", needs: &["headscale", "tailscaled", "tailscale"] },
    Topic { name: "namespaces", needs: &["ip", "namespaces", "ssh", "tailnet", "tailscaled", "tailscale"] },
    Topic { name: "client_logs", needs: &["tailnet", "tailscaled", "tailscale"] },
    Topic { name: "flow_logs", needs: &["ip", "namespaces", "tailnet", "tailscaled", "tailscale", "python"] },
    Topic { name: "stores", needs: &["ssh", "tailnet", "tailscaled", "tailscale", "minio", "bucket"] },
    Topic { name: "storage_trouble", needs: &["minio", "bucket", "namespaces"] },
    Topic { name: "import", needs: &["ssh", "tailnet", "tailscaled", "tailscale", "minio", "bucket"] },
    Topic { name: "tampering", needs: &["minio", "bucket"] },
    Topic { name: "strangers", needs: &["tlogverify"] },
    Topic { name: "kills", needs: &[] },
    Topic { name: "sql", needs: &["psql", "python"] },
    Topic { name: "hostile_sql", needs: &[] },
    Topic { name: "floods", needs: &[] },
    Topic { name: "engines", needs: &["python", "java"] },
    Topic { name: "older_stores", needs: &[] },
];

/// Everything, as CI runs it.
pub(crate) fn test(run: &Run) -> Result<()> {
    let mut run = run.clone();
    let mut tools = tools::set_up(&mut run)?;
    let mut tally = Tally::default();
    let building = thread::spawn({
        let run = run.clone();
        move || real_peers::build(&run)
    });
    static_checks(&run, &tools, &mut tally)?;
    let workspace = ["test", "--workspace", "--exclude", "meshtrail-e2e", "--locked", "--no-fail-fast"];
    cargo_test(&run, "unit and integration tests", &workspace, &mut tally)?;
    match building.join() {
        Ok(failures) => tools.add_failures(failures),
        Err(_) => bail!("building the peers panicked"),
    }
    run_topics(&run, &tools, None, &[], &mut tally)?;
    browser_tests(&run, &tools, &mut tally)?;
    conclude(&run, &tally)
}

/// The checks without tests.
pub(crate) fn check(run: &Run) -> Result<()> {
    let mut run = run.clone();
    let tools = tools::set_up(&mut run)?;
    let mut tally = Tally::default();
    static_checks(&run, &tools, &mut tally)?;
    conclude(&run, &tally)
}

/// Only builds the peers.
pub(crate) fn peers(run: &Run) -> Result<()> {
    let mut run = run.clone();
    let mut tools = tools::set_up(&mut run)?;
    tools.add_failures(real_peers::build(&run));
    for topic in &TOPICS {
        if let Some(why) = missing_need(&run, &tools, topic) {
            bail!("{}: {why}", topic.name);
        }
    }
    Ok(())
}

/// Only the end-to-end tests.
pub(crate) fn end_to_end(run: &Run, topic: Option<&str>, arguments: &[String]) -> Result<()> {
    let mut run = run.clone();
    let mut tools = tools::set_up(&mut run)?;
    tools.add_failures(real_peers::build(&run));
    let mut tally = Tally::default();
    run_topics(&run, &tools, topic, arguments, &mut tally)?;
    conclude(&run, &tally)
}

/// Only the browser tests.
pub(crate) fn browser(run: &Run) -> Result<()> {
    let mut run = run.clone();
    let tools = tools::set_up(&mut run)?;
    run.execute(run.command(
        "cargo",
        &["build", "--workspace", "--bin", "meshtrail", "--bin", "meshtrail-sql", "--locked"],
    ))?;
    let mut tally = Tally::default();
    browser_tests(&run, &tools, &mut tally)?;
    conclude(&run, &tally)
}

/// Benchmarks are binaries of the bench crate.
pub(crate) fn bench(run: &Run, name: Option<&str>, arguments: &[String]) -> Result<()> {
    let mut run = run.clone();
    let mut tools = tools::set_up(&mut run)?;
    tools.add_failures(real_peers::build(&run));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(run.root.join("benches/src/bin"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    names.retain(|found| name.is_none_or(|name| name == found));
    if names.is_empty() {
        bail!("no benchmark of that name in benches/src/bin");
    }
    for name in names {
        let mut line =
            vec!["run", "--release", "--locked", "--package", "meshtrail-bench", "--bin", &name, "--"];
        line.extend(arguments.iter().map(String::as_str));
        run.execute(run.command("cargo", &line))?;
    }
    Ok(())
}

/// Golden files are written by the tests that compare them.
pub(crate) fn bless(run: &Run) -> Result<()> {
    let mut run = run.clone();
    run.set("MESHTRAIL_BLESS", "1");
    run.execute(run.command("cargo", &["test", "--workspace", "--exclude", "meshtrail-e2e"]))?;
    run.execute(run.command("git", &["status", "--short"]))
}

fn static_checks(run: &Run, tools: &Tools, tally: &mut Tally) -> Result<()> {
    let mut check = |what: &str, arguments: &[&str]| check_with_cargo(run, what, arguments, tally);
    check("format", &["fmt", "--all", "--check"])?;
    check(
        "lints",
        &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"],
    )?;
    check("docs", &["doc", "--workspace", "--no-deps", "--locked", "--quiet"])?;
    if let Some(why) = tools.missing("cargo-deny") {
        tally.skip("dependency rules", 1, why);
        return Ok(());
    }
    check(
        "dependency rules",
        &["deny", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"],
    )?;
    advisories(run, tally)
}

fn check_with_cargo(run: &Run, what: &str, arguments: &[&str], tally: &mut Tally) -> Result<()> {
    let mut command = run.command("cargo", arguments);
    command.env("RUSTDOCFLAGS", "-D warnings");
    let success = run.follow(command, |_| {})?;
    tally.check(what, success);
    Ok(())
}

/// Checks dependencies for known vulnerabilities. Their database is a repository, which not every machine can reach:
/// there the check is skipped with a note and does not fail, because no change to the checkout could repair it.
fn advisories(run: &Run, tally: &mut Tally) -> Result<()> {
    let fetch = ["60", "cargo", "deny", "--locked", "fetch", "db"];
    if !run.follow(run.command("timeout", &fetch), |_| {})? {
        tally.note("skipped: advisories: their database could not be fetched; `cargo deny check advisories` checks them where it can");
        return Ok(());
    }
    let check = ["deny", "--locked", "check", "--disable-fetch", "--hide-inclusion-graph", "advisories"];
    check_with_cargo(run, "advisories", &check, tally)
}

/// Every build is of the whole workspace: for a single package cargo would unify features differently and build all
/// dependencies again.
fn run_topics(
    run: &Run,
    tools: &Tools,
    only: Option<&str>,
    arguments: &[String],
    tally: &mut Tally,
) -> Result<()> {
    run.execute(run.command(
        "cargo",
        &["build", "--workspace", "--bin", "meshtrail", "--bin", "meshtrail-sql", "--locked"],
    ))?;
    let mut found = false;
    for topic in TOPICS.iter().filter(|topic| only.is_none_or(|name| name == topic.name)) {
        found = true;
        if let Some(why) = missing_need(run, tools, topic) {
            tally.skip(topic.name, count_tests(run, topic)?, &why);
            continue;
        }
        let mut line = vec!["test", "--workspace", "--locked", "--test", topic.name, "--"];
        line.extend(arguments.iter().map(String::as_str));
        cargo_test(run, topic.name, &line, tally)?;
    }
    if !found {
        let names: Vec<_> = TOPICS.iter().map(|topic| topic.name).collect();
        bail!("no such topic; there are {}", names.join(", "));
    }
    Ok(())
}

/// The first requirement of a topic that this machine does not meet.
fn missing_need(run: &Run, tools: &Tools, topic: &Topic) -> Option<String> {
    topic.needs.iter().find_map(|need| {
        if *need == "namespaces" {
            return tools::namespaces(run).err();
        }
        if *need == "python" {
            return tools.missing(need).map(str::to_owned);
        }
        let there = run.find(need).is_some() || run.cache.join("bin").join(need).is_file();
        let why = tools.missing(need).map(str::to_owned);
        (!there).then(|| why.unwrap_or_else(|| format!("{need} is missing")))
    })
}

fn count_tests(run: &Run, topic: &Topic) -> Result<u64> {
    let line = ["test", "--workspace", "--locked", "--test", topic.name, "--", "--list"];
    let mut count = 0;
    run.follow(run.command("cargo", &line), |line| count += u64::from(line.ends_with(": test")))?;
    Ok(count.max(1))
}

fn cargo_test(run: &Run, what: &str, arguments: &[&str], tally: &mut Tally) -> Result<()> {
    let mut counts = TestCounts::default();
    let succeeded = run.follow(run.command("cargo", arguments), |line| counts.read(line))?;
    tally.add(what, counts, succeeded);
    Ok(())
}

fn browser_tests(run: &Run, tools: &Tools, tally: &mut Tally) -> Result<()> {
    let folder = run.root.join("tests/browser");
    let missing = ["node", "chromium"].into_iter().find_map(|tool| tools.missing(tool));
    if let Some(why) = missing {
        let files = std::fs::read_dir(&folder)?.flatten();
        let tests = files.filter(|file| file.file_name().to_string_lossy().ends_with(".test.mjs")).count();
        tally.skip("browser tests (files)", tests.max(1).try_into()?, why);
        return Ok(());
    }
    let mut install = run.command("npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    install.current_dir(&folder);
    run.execute(install)?;
    let mut counts = TestCounts::default();
    let mut command = run.command("node", &["--test", "--test-reporter=spec"]);
    command.current_dir(&folder);
    let succeeded = run.follow(command, |line| counts.read(line))?;
    tally.add("browser tests", counts, succeeded);
    Ok(())
}

fn conclude(run: &Run, tally: &Tally) -> Result<()> {
    if !tally.conclude(run.ci) {
        std::process::exit(1);
    }
    Ok(())
}
