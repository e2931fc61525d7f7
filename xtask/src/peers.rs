//! The real peers of the tests, built from `tests/peers` into the cache.
//!
//! A module's binaries are built again only when its sources, its pinned versions or the compiler changed: a stamp file
//! next to them has the hash of all three.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::{Run, print_line};

/// One Go module below `tests/peers`: its folder, the packages to build, and their binaries.
#[derive(Debug)]
struct Module {
    folder: &'static str,
    packages: &'static [&'static str],
    binaries: &'static [&'static str],
}

/// In the order of build time, so that the first ones can be used early.
const MODULES: [Module; 4] = [
    Module { folder: "tlog", packages: &["./..."], binaries: &["tlogverify", "tessera-bench"] },
    Module {
        folder: "tailnet",
        packages: &[".", "tailscale.com/cmd/tailscale", "tailscale.com/cmd/tailscaled"],
        binaries: &["tailnet", "tailscale", "tailscaled"],
    },
    Module {
        folder: "minio",
        packages: &["./bucket", "github.com/minio/minio"],
        binaries: &["bucket", "minio"],
    },
    Module {
        folder: "headscale",
        packages: &["github.com/juanfont/headscale/cmd/headscale"],
        binaries: &["headscale"],
    },
];

/// Builds missing binaries; returns those that could not be built.
pub(crate) fn build(run: &Run) -> Vec<(&'static str, anyhow::Error)> {
    let mut failures = Vec::new();
    for module in &MODULES {
        if let Err(error) = build_module(run, module) {
            print_line(&format!("peers: {}: {error:#}", module.folder));
            failures.extend(module.binaries.iter().map(|name| (*name, anyhow::anyhow!("{error:#}"))));
        }
    }
    failures
}

fn build_module(run: &Run, module: &Module) -> Result<()> {
    let sources = run.root.join("tests/peers").join(module.folder);
    let bin = run.cache.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    let compiler = run.output("go", &["env", "GOVERSION"]).context("go does not run")?;
    let stamp = fingerprint(&sources, &compiler)?;
    let stamp_file = bin.join(format!(".{}.stamp", module.folder));
    let built = module.binaries.iter().all(|name| bin.join(name).is_file());
    if built && fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) {
        return Ok(());
    }
    let out = format!("{}/", bin.display());
    let mut arguments = vec!["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", &out];
    arguments.extend(module.packages);
    let mut command = run.command("go", &arguments);
    // Rust is built at the same time: one core each.
    command.current_dir(&sources).env("GOFLAGS", "-p=1");
    run.execute(command)?;
    fs::write(stamp_file, stamp)?;
    Ok(())
}

/// A hash of everything that goes into a module's binaries.
fn fingerprint(sources: &Path, compiler: &str) -> Result<String> {
    let mut files = Vec::new();
    collect(sources, &mut files)?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    compiler.hash(&mut hasher);
    for file in files {
        file.strip_prefix(sources)?.hash(&mut hasher);
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
