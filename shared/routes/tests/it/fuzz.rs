//! Texts that nobody would write: no panic, no hang.

use proptest::prelude::*;

use crate::{Folder, with_upstream};

const CORPUS: [&str; 14] = [
    "&a [*a]",
    "? ? ? a",
    "{a: {a: {a: {a: ",
    "[[[[[[[[[[[[[[[[",
    "%YAML 9.9\n---\n",
    "\u{feff}\u{feff}a: 1",
    "a: |\n\n\n  b\n c",
    "- - - - - -",
    "'\u{0}'",
    "!!binary aGk=",
    "routes: [1, {id: {}}, [], ~]",
    "version: 1\nroutes: [{match: {path: [/a]}}]",
    "${A}: ${B:-${C}}",
    "a: ${file:}${file:/}${:-}${$}",
];

fn read(text: &str, name: &str) {
    thread_local!(static FOLDER: Folder = Folder::with(&[]));
    FOLDER.with(|folder| read_in(folder, text, name));
}

fn read_in(folder: &Folder, text: &str, name: &str) {
    folder.write(name, text);
    if let Err(faults) = folder.load(name) {
        assert!(faults.iter().count() > 0 && faults.to_string().contains(name), "{faults:?}");
    }
}

#[test]
fn the_corpus_is_read_without_a_panic() {
    for text in CORPUS {
        read(text, "routes.yaml");
        read(text, "routes.toml");
        read(&with_upstream(&format!("url: {text}")), "routes.yaml");
    }
}

/// A valid file with a piece cut out, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let whole = with_upstream(
        "url: http://a\nheaders: {pass: [cookie], set: {x-a: \"${HOST}\"}}\nbreaker: {failures: 50%, of: 5}",
    );
    let chars: Vec<char> = whole.chars().collect();
    let piece = prop_oneof![
        prop::sample::select(CORPUS.to_vec()).prop_map(str::to_owned),
        "[\\[\\]{}:,&*!|>'\"%@#?\\- \n\t$~0-9a-z\u{e9}]{0,6}",
    ];
    (0..chars.len(), 0..chars.len(), piece, any::<bool>()).prop_map(move |(a, b, piece, double)| {
        let (from, to) = (a.min(b), a.max(b));
        let cut: String = chars[from..to].iter().collect();
        let middle = if double { format!("{cut}{piece}{cut}") } else { piece };
        chars[..from].iter().collect::<String>() + &middle + &chars[to..].iter().collect::<String>()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        read(&text, "routes.yaml");
        read(&text, "routes.toml");
    }

    #[test]
    fn any_yaml_like_text_is_read_without_a_panic(text in "[\\[\\]{}:,&*!|>'\"%?\\- \n$a-c]{0,120}") {
        read(&text, "routes.yaml");
        read(&text, "routes.toml");
    }

    #[test]
    fn a_damaged_file_is_read_without_a_panic(text in mutated()) {
        read(&text, "routes.yaml");
    }
}

#[test]
fn large_texts_of_one_kind_end() {
    let many = |piece: &str| piece.repeat((1 << 19) / piece.len());
    let numbered = |piece: &str| (0..30_000).map(|n| piece.replace('#', &n.to_string())).collect::<String>();
    for text in [
        many("["),
        many("- "),
        many("a: "),
        format!("{}: 1", many("k")),
        format!("- &a x\n{}", many("- *a\n")),
        format!("version: {}", many("${HOST}")),
        format!("version: 1\nroutes:\n{}", many("- {id: a, match: {method: GET, path: /a}, stream: s}\n")),
        format!("version: 1\nroutes: [{{}}]\nupstreams:\n{}", numbered("  u#: {url: a}\n")),
        format!(
            "version: 1\nroutes: [{{}}]\nupstreams: {{u: {{headers: {{set: {{{}}}}}}}}}",
            numbered("x#: a,")
        ),
    ] {
        read(&text, "routes.yaml");
    }
    for text in [
        format!("a = [{}]", many("1,")),
        numbered("k# = 1\n"),
        many("a."),
        numbered("[[routes]]\nid = '#'\n"),
    ] {
        read(&text, "routes.toml");
    }
}
