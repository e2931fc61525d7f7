//! Names of people and machines, in domains reserved for examples.

/// The company's domain.
pub(crate) const DOMAIN: &str = "example.com";

/// The domain of external people.
pub(crate) const ELSEWHERE: &str = "example.net";

/// The suffix of the machines' full names.
pub(crate) const MESH: &str = "heron-pike.example.com";

/// First and last names.
pub(crate) const PEOPLE: [(&str, &str); 40] = [
    ("Mira", "Okafor"),
    ("Tomas", "Lindqvist"),
    ("Priya", "Raman"),
    ("Jonas", "Weber"),
    ("Aiko", "Tanaka"),
    ("Lucia", "Moreno"),
    ("Samir", "Haddad"),
    ("Greta", "Nilsen"),
    ("Diego", "Fuentes"),
    ("Hannah", "Clarke"),
    ("Wei", "Zhang"),
    ("Olu", "Adeyemi"),
    ("Nadia", "Petrova"),
    ("Finn", "Gallagher"),
    ("Ingrid", "Solberg"),
    ("Mateo", "Silva"),
    ("Zofia", "Kowalska"),
    ("Arjun", "Mehta"),
    ("Clara", "Dubois"),
    ("Yusuf", "Demir"),
    ("Elena", "Rossi"),
    ("Ben", "Whitaker"),
    ("Sana", "Qureshi"),
    ("Leo", "Martens"),
    ("Noemi", "Balogh"),
    ("Kofi", "Mensah"),
    ("Ruth", "Abrams"),
    ("Daan", "Visser"),
    ("Marisol", "Vega"),
    ("Theo", "Laurent"),
    ("Ida", "Bergström"),
    ("Owen", "Price"),
    ("Farah", "Aziz"),
    ("Viktor", "Novak"),
    ("Amelie", "Fischer"),
    ("Rafael", "Costa"),
    ("Juno", "Park"),
    ("Stellan", "Ek"),
    ("Tala", "Reyes"),
    ("Bruno", "Keller"),
];

/// Offsets of people's time zones from UTC, in minutes.
pub(crate) const ZONES: [i64; 6] = [60, 60, 0, -300, 330, -480];

/// Servers: name, number, tags, and whether tailscaled runs in userspace mode.
pub(crate) const SERVERS: [(&str, usize, &[&str], bool); 19] = [
    ("web", 6, &["tag:prod", "tag:web"], false),
    ("api", 4, &["tag:prod", "tag:api"], false),
    ("db", 4, &["tag:db", "tag:prod"], false),
    ("pay", 3, &["tag:payments", "tag:prod"], false),
    ("cache", 3, &["tag:cache", "tag:prod"], false),
    ("queue", 2, &["tag:prod", "tag:queue"], false),
    ("search", 3, &["tag:prod", "tag:search"], false),
    ("staging", 6, &["tag:staging"], false),
    ("kube-prod", 4, &["tag:k8s", "tag:prod"], false),
    ("kube-staging", 3, &["tag:k8s", "tag:staging"], false),
    ("operator-prod", 1, &["tag:k8s-operator"], true),
    ("operator-staging", 1, &["tag:k8s-operator"], true),
    ("ci-runner", 8, &["tag:ci"], true),
    ("bastion", 1, &["tag:prod"], false),
    ("backup", 1, &["tag:backup"], false),
    ("metrics", 2, &["tag:monitoring"], false),
    ("recorder", 2, &["tag:recorder"], false),
    ("office-router", 1, &["tag:router"], false),
    ("exit-fra", 2, &["tag:exit"], false),
];

/// Names and operating systems of people's second devices.
pub(crate) const SECOND_DEVICES: [(&str, &str); 4] =
    [("phone", "iOS"), ("pixel", "android"), ("tablet", "iOS"), ("desktop", "linux")];

/// Names and operating systems of people's first devices, the most common first.
pub(crate) const LAPTOPS: [(&str, &str); 5] =
    [("mbp", "macOS"), ("laptop", "linux"), ("mbp", "macOS"), ("thinkpad", "linux"), ("surface", "windows")];
