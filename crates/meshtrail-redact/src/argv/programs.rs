//! What single programs do with passwords: `-p` is one for mysql, a port for ssh and a path's parents for mkdir.
//!
//! A program that is not here has no short option with a secret; long options are judged by their names for every program.

/// What is known of a program's arguments.
pub(super) struct Program {
    names: &'static [&'static str],
    /// Short options that take a value: letters behind them in one word are not options.
    pub(super) with_value: &'static str,
    pub(super) rules: &'static [Rule],
}

/// Where a program has secrets, or commands of other programs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// `-pSECRET` in one word; a word behind `-p` is something else.
    Attached(char),
    /// `-p SECRET` or `-pSECRET`.
    Short(char),
    /// The same, after this subcommand.
    ShortAfter(&'static str, char),
    /// `-u user:SECRET`, or with another letter between.
    Pair(char, char),
    /// A cookie, `NAME=SECRET`; without `=` the name of a file.
    Cookie(char),
    /// `--name SECRET`, `-name SECRET`, `/name:SECRET`, where the name alone does not say so.
    Long(&'static str),
    /// The same, after this subcommand.
    LongAfter(&'static str, &'static str),
    /// `--name user:SECRET`.
    LongPair(&'static str, char),
    /// `--name=SECRET`; a word behind `--name` is something else.
    AfterEquals(&'static str),
    /// An option or a word that is named like a secret and has none.
    Plain(&'static str),
    /// The n-th word after this subcommand, from 0; after the program itself if there is none.
    Word(&'static str, usize),
    /// The last word, if this flag is set.
    LastWith(char),
    /// After this subcommand every `NAME=VALUE` is a secret; with a name, the values of this option.
    Values(&'static str, Option<&'static str>),
    /// `user/SECRET@database`.
    SlashPair,
    /// This option's value is a script of a shell.
    Script(char),
    /// After this many words a command of another program begins.
    Runs(usize),
    /// The same, and a word with blanks is a script of a shell.
    RunsScript(usize),
    /// A known program's name among the words begins its command.
    RunsKnown,
    /// Its words are `host:path`, not `user:password@host`.
    Paths,
    /// Its words are what it looks for: no name is followed by a secret.
    Search,
}

use Rule::{
    AfterEquals, Attached, Cookie, LastWith, Long, LongAfter, LongPair, Pair, Paths, Plain, Runs, RunsKnown,
    RunsScript, Script, Search, Short, ShortAfter, SlashPair, Values, Word,
};

const fn program(
    names: &'static [&'static str],
    with_value: &'static str,
    rules: &'static [Rule],
) -> Program {
    Program { names, with_value, rules }
}

const PROGRAMS: &[Program] = &[
    // Databases.
    program(
        &[
            "mysql",
            "mysqldump",
            "mysqlimport",
            "mysqlcheck",
            "mysqlshow",
            "mysqlslap",
            "mysqlbinlog",
            "mysqlsh",
            "mysqlpump",
            "mariadb",
            "mariadb-dump",
        ],
        "uhPSDeBVr",
        &[Attached('p'), AfterEquals("password")],
    ),
    program(
        &["mysqladmin", "mariadb-admin"],
        "uhPSir",
        &[Attached('p'), AfterEquals("password"), Word("password", 0)],
    ),
    program(
        &[
            "psql",
            "pg_dump",
            "pg_dumpall",
            "pg_restore",
            "pg_basebackup",
            "createdb",
            "createuser",
            "pgbench",
        ],
        "hpUdfcFtnTo",
        &[],
    ),
    program(
        &[
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "mongostat",
            "mongotop",
        ],
        "uhdc",
        &[Short('p')],
    ),
    program(
        &["redis-cli", "valkey-cli", "keydb-cli"],
        "hpsunrd",
        &[Short('a'), Word("auth", 0), Word("auth", 1)],
    ),
    program(&["sqlcmd", "bcp", "osql", "isql"], "SUdQiohHlt", &[Short('P')]),
    program(&["cqlsh", "vsql", "exaplus", "dse"], "uefk", &[Short('p')]),
    program(&["sqlplus", "sqlldr", "expdp", "impdp", "exp", "imp", "rman"], "", &[SlashPair]),
    program(&["clickhouse-client", "clickhouse"], "hudq", &[]),
    program(&["influx", "influxd"], "", &[Long("password"), ShortAfter("setup", 'p')]),
    program(&["etcdctl"], "", &[LongPair("user", ':')]),
    program(
        &["rabbitmqctl"],
        "np",
        &[Word("add_user", 1), Word("change_password", 1), Word("authenticate_user", 1)],
    ),
    // HTTP, files, mail, directories.
    program(
        &["curl"],
        "AbcCdDeEFhHKmoPQrtTuUwxXyYzZ",
        &[
            Pair('u', ':'),
            Pair('U', ':'),
            Pair('E', ':'),
            Cookie('b'),
            LongPair("user", ':'),
            LongPair("proxy-user", ':'),
            LongPair("cert", ':'),
        ],
    ),
    program(&["http", "https", "xh", "xhs"], "ao", &[Pair('a', ':'), LongPair("auth", ':')]),
    program(&["wget", "wget2", "aria2c"], "OoPUQ", &[]),
    program(&["lftp", "ncftpput", "ncftpget"], "pec", &[Pair('u', ',')]),
    program(
        &["smbclient", "smbget", "rpcclient", "smbpasswd", "winexe", "net", "nmblookup"],
        "IpWk",
        &[Pair('U', '%'), LongPair("user", '%')],
    ),
    program(
        &["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldapcompare"],
        "HDbsfhp",
        &[Short('w')],
    ),
    program(&["ldappasswd"], "HDhp", &[Short('w'), Short('s'), Short('a')]),
    program(&["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"], "htmupiq", &[Short('P')]),
    program(&["zip", "unzip", "zipcloak"], "x", &[Short('P')]),
    program(&["7z", "7za", "7zr", "7zz"], "", &[Attached('p')]),
    program(&["rar", "unrar"], "", &[Attached('p')]),
    program(&["twine"], "ruc", &[Short('p')]),
    program(&["rclone"], "", &[Word("obscure", 0)]),
    program(&["mc"], "", &[Word("set", 3), Word("add", 3)]),
    program(&["htpasswd"], "C", &[LastWith('b')]),
    program(&["keyctl"], "", &[Word("add", 2), Word("padd", 2)]),
    // Machines and networks.
    program(&["useradd", "usermod", "adduser"], "cdegGkKrsufpR", &[Short('p')]),
    program(&["ipmitool", "ipmipower", "ipmiutil"], "HUIL", &[Short('P')]),
    program(&["rdesktop"], "udgr", &[Short('p')]),
    program(&["xfreerdp", "wlfreerdp", "xfreerdp3"], "", &[Long("p")]),
    program(
        &["snmpget", "snmpwalk", "snmpset", "snmpbulkwalk", "snmpgetnext", "snmptrap"],
        "vlux",
        &[Short('c'), Short('A'), Short('X')],
    ),
    program(&["radtest"], "", &[Word("", 1), Word("", 4)]),
    program(&["samba-tool"], "UH", &[Word("create", 1), Word("add", 1)]),
    program(&["psexec", "psexec64", "paexec"], "u", &[Short('p')]),
    program(
        &[
            "psexec.py",
            "wmiexec.py",
            "smbexec.py",
            "atexec.py",
            "secretsdump.py",
            "mssqlclient.py",
            "smbclient.py",
        ],
        "",
        &[Long("hashes"), Long("aesKey")],
    ),
    program(&["wpa_passphrase"], "", &[Word("", 1)]),
    program(&["iwconfig"], "", &[Word("key", 0)]),
    // A key is the name of a file there.
    program(&["wg", "wg-quick"], "", &[Plain("private-key"), Plain("preshared-key")]),
    program(&["crackmapexec", "nxc", "netexec", "evil-winrm"], "ux", &[Short('p')]),
    program(&["hydra", "medusa"], "lLsto", &[Short('p')]),
    // Keys and secrets.
    program(
        &["openssl"],
        "",
        &[Long("k"), Long("K"), Long("pass"), Long("passin"), Long("passout"), Word("passwd", 0)],
    ),
    program(&["ssh-keygen"], "tbCfOI", &[Short('N'), Short('P')]),
    program(
        &["vault", "bao"],
        "",
        &[
            Word("login", 0),
            Word("unseal", 0),
            Values("put", None),
            Values("write", None),
            Values("patch", None),
            Values("login", None),
        ],
    ),
    program(&["gh"], "", &[ShortAfter("secret", 'b'), LongAfter("secret", "body")]),
    program(&["fly", "flyctl"], "", &[Values("secrets", None)]),
    program(&["doppler"], "", &[Values("secrets", None)]),
    program(&["aws"], "", &[Plain("secret-id"), LongAfter("put-parameter", "value")]),
    program(&["gcloud"], "", &[Plain("secret")]),
    program(&["bw"], "", &[Word("unlock", 0), Word("login", 1)]),
    program(&["ansible-vault"], "", &[Word("encrypt_string", 0)]),
    program(&["mkpasswd"], "mSR", &[Word("", 0)]),
    // Registries, clouds and clusters.
    program(
        &[
            "docker",
            "podman",
            "nerdctl",
            "buildah",
            "skopeo",
            "crane",
            "regctl",
            "oras",
            "docker-compose",
            "ctr",
            "crictl",
        ],
        "efuwvhn",
        &[ShortAfter("login", 'p'), Plain("secret"), RunsKnown],
    ),
    program(&["helm"], "fn", &[ShortAfter("login", 'p')]),
    program(&["az"], "nguo", &[ShortAfter("login", 'p'), LongAfter("secret", "value")]),
    program(&["cf", "ibmcloud"], "ous", &[ShortAfter("login", 'p')]),
    program(
        &["oc", "kubectl"],
        "nfcolFLs",
        &[
            ShortAfter("login", 'p'),
            Values("secret", Some("from-literal")),
            Plain("set-credentials"),
            RunsKnown,
        ],
    ),
    // Programs that run others.
    program(&["env"], "uSC", &[Runs(0)]),
    program(&["sudo", "doas"], "ugpCrtTUDhR", &[Runs(0)]),
    program(&["sshpass"], "fdP", &[Short('p'), Runs(0)]),
    program(&["su", "runuser"], "gGsw", &[Script('c'), RunsKnown]),
    program(&["watch"], "ndq", &[RunsScript(0)]),
    program(&["timeout", "chroot", "taskset", "chrt", "chpst"], "ksu", &[Runs(1)]),
    program(
        &[
            "nohup",
            "time",
            "nice",
            "ionice",
            "setsid",
            "stdbuf",
            "exec",
            "command",
            "builtin",
            "tini",
            "dumb-init",
            "catatonit",
            "unbuffer",
            "systemd-run",
            "unshare",
            "nsenter",
            "strace",
            "ltrace",
            "xargs",
            "busybox",
            "faketime",
            "caffeinate",
            "gdb",
            "valgrind",
        ],
        "nioeacpgutsCILPSdEm",
        &[Runs(0)],
    ),
    program(&["gosu", "su-exec", "setpriv", "flock"], "wEc", &[Script('c'), Runs(1)]),
    program(&["ssh", "autossh", "mosh", "slogin"], "BbcDEeFIiJLlmOopQRSWw", &[RunsScript(1)]),
    program(
        &[
            "ip",
            "firejail",
            "bwrap",
            "proot",
            "lxc-attach",
            "lxc",
            "machinectl",
            "find",
            "parallel",
            "tmux",
            "screen",
        ],
        "",
        &[RunsKnown],
    ),
    program(&["script", "scriptreplay"], "", &[Script('c')]),
    program(&["sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "fish", "rbash"], "oO", &[Script('c')]),
    // Programs whose words are patterns, titles or names.
    program(
        &[
            "grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "git-grep", "man", "info", "which", "type",
            "whereis", "apropos", "locate",
        ],
        "efmABC",
        &[Search],
    ),
    program(&["sed", "awk", "gawk", "jq", "yq"], "efv", &[Search]),
    program(&["scp", "sftp", "rsync"], "", &[Paths]),
    program(
        &[
            "tar",
            "cp",
            "mv",
            "ls",
            "mkdir",
            "cat",
            "systemctl",
            "service",
            "journalctl",
            "apt",
            "apt-get",
            "dnf",
            "yum",
            "make",
        ],
        "",
        &[],
    ),
];

/// Words of a shell in front of a command.
pub(super) const RESERVED: &[&str] = &[
    "if", "then", "else", "elif", "fi", "do", "done", "while", "until", "!", "{", "}", "[[", "coproc",
    "export", "readonly", "declare", "local", "typeset", "eval",
];

/// What is known of the program that a word names, by the last part of its path.
pub(super) fn lookup(word: &str) -> Option<&'static Program> {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.strip_suffix(".exe").unwrap_or(name);
    if name.is_empty() || name.len() > 32 {
        return None;
    }
    let find = |name: &str| PROGRAMS.iter().find(|program| program.names.contains(&name));
    // `mysql8.0`, `mysql-8.0`.
    find(name).or_else(|| {
        find(
            name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.')
                .trim_end_matches('-'),
        )
    })
}

impl Program {
    /// Whether it runs other programs.
    pub(super) fn runs(&self) -> bool {
        self.has(|rule| matches!(rule, Runs(_) | RunsScript(_) | RunsKnown))
    }

    pub(super) fn has(&self, rule: impl Fn(&Rule) -> bool) -> bool {
        self.rules.iter().any(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_name_wherever_they_lie() {
        for word in ["mysql", "/usr/bin/mysql", "mysql8.0", "C:\\bin\\mysql.exe", "mariadb-dump"] {
            assert!(
                lookup(word).is_some_and(|program| program.has(|rule| matches!(rule, Attached('p')))),
                "{word}"
            );
        }
        for word in ["", "/", "mysqlx", "x", "8"] {
            assert!(lookup(word).is_none(), "{word}");
        }
    }

    #[test]
    fn no_program_stands_in_the_table_twice() {
        let mut names: Vec<_> = PROGRAMS.iter().flat_map(|program| program.names).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
