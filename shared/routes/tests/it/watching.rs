use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use routes::{Difference, Reload, Routes, Watch};

use crate::{Folder, with_route};

fn watch(folder: &Folder) -> Watch {
    let path = folder.path("routes.yaml");
    Watch::new(&path, Routes::load(&path).expect("valid"))
}

fn file(timeout: &str) -> String {
    with_route(&format!(
        "handler: external\ntimeout: {timeout}\nrequest: {{schema: a.json}}\nsummary: ${{file:note}}"
    ))
}

fn folder() -> Folder {
    Folder::with(&[("routes.yaml", &file("5s")), ("a.json", "{}"), ("note", "first")])
}

/// The second look after a change, which takes it.
fn look(watch: &Watch) -> Reload {
    watch.look();
    watch.look()
}

fn timeout_of(watch: &Watch) -> Duration {
    watch.current().routes[0].timeout
}

#[test]
fn a_change_is_taken_as_a_whole() {
    let folder = folder();
    let watch = watch(&folder);
    let news = watch.subscribe();
    assert_eq!(look(&watch), Reload::Unchanged);

    folder.write("routes.yaml", &file("7s"));
    let found = look(&watch);

    let changed = Difference::Changed {
        what: "route a".to_owned(),
        rule: "timeout",
        old: "5s".to_owned(),
        new: "7s".to_owned(),
    };
    assert_eq!(found, Reload::Replaced(vec![changed]));
    assert_eq!((timeout_of(&watch), look(&watch)), (Duration::from_secs(7), Reload::Unchanged));
    assert!(news.has_changed().expect("the watch lives"));
}

#[test]
fn routes_without_a_file_stay_in_force() {
    let watch = Watch::fixed(crate::load(&with_route("handler: external")).expect("valid"));

    assert_eq!([look(&watch), watch.reload()], [Reload::Unchanged, Reload::Unchanged]);
}

#[test]
fn a_bad_file_leaves_the_routes_in_force() {
    let folder = folder();
    let watch = watch(&folder);
    let version = watch.current().version.clone();

    folder.write("routes.yaml", &file("7"));
    let failed = [look(&watch), look(&watch), watch.reload()];
    let failures = watch.failures();
    folder.write("routes.yaml", &file("5s"));
    let mended = look(&watch);

    assert!(
        failed.iter().all(
            |found| matches!(found, Reload::Failed(faults) if faults.to_string().contains("has no unit"))
        ),
        "{failed:?}"
    );
    assert_eq!((failures, mended, watch.failures()), (4, Reload::Unchanged, 4));
    assert_eq!((watch.current().version.clone(), timeout_of(&watch)), (version, Duration::from_secs(5)));
}

#[test]
fn a_file_that_vanishes_leaves_the_routes_in_force() {
    let folder = folder();
    let watch = watch(&folder);

    std::fs::remove_file(folder.path("routes.yaml")).expect("removed");

    assert!(matches!(look(&watch), Reload::Failed(_)));
    assert!(watch.current().find(&Method::POST, "/a").is_ok());
    folder.write("routes.yaml", &file("6s"));
    assert!(matches!(look(&watch), Reload::Replaced(_)));
}

#[test]
fn a_schema_and_a_value_are_watched_too() {
    let folder = folder();
    let watch = watch(&folder);

    folder.write("a.json", r#"{"type": "object"}"#);
    let schema = look(&watch);
    folder.write("note", "second");
    let value = look(&watch);
    std::fs::remove_file(folder.path("a.json")).expect("removed");
    let gone = look(&watch);

    assert!(matches!(&schema, Reload::Replaced(all) if all.len() == 1), "{schema:?}");
    assert!(matches!(&value, Reload::Replaced(all) if all.len() == 1), "{value:?}");
    assert!(matches!(gone, Reload::Failed(_)), "{gone:?}");
    assert_eq!(watch.current().routes[0].summary.as_deref(), Some("second"));
}

#[test]
fn the_links_of_a_config_map_are_followed() {
    let folder = Folder::with(&[("..1/routes.yaml", &file("5s")), ("..2/routes.yaml", &file("9s"))]);
    for generation in ["..1", "..2"] {
        folder.write(&format!("{generation}/a.json"), "{}");
        folder.write(&format!("{generation}/note"), "n");
    }
    symlink("..1", folder.path("..data")).expect("a link");
    for name in ["routes.yaml", "a.json", "note"] {
        symlink(Path::new("..data").join(name), folder.path(name)).expect("a link");
    }
    let watch = watch(&folder);

    symlink("..2", folder.path("..data_tmp")).expect("a link");
    std::fs::rename(folder.path("..data_tmp"), folder.path("..data")).expect("swapped");

    assert!(matches!(look(&watch), Reload::Replaced(_)));
    assert_eq!(timeout_of(&watch), Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn the_file_is_looked_at_by_itself() {
    let folder = folder();
    let watch = Arc::new(watch(&folder));
    let mut news = watch.subscribe();
    let running = tokio::spawn(watch.clone().run());

    folder.write("routes.yaml", &file("8s"));

    let changed = tokio::time::timeout(Duration::from_secs(60), news.changed()).await;
    assert!(changed.is_ok_and(|changed| changed.is_ok()));
    assert_eq!(news.borrow().routes[0].timeout, Duration::from_secs(8));
    running.abort();
}

#[test]
fn a_file_that_is_still_written_is_left_for_the_next_look() {
    let folder = folder();
    let watch = watch(&folder);
    let whole = file("9s");
    let mut looks = Vec::new();

    for length in [0, 20, whole.len() / 2, whole.len()] {
        folder.write("routes.yaml", &whole[..length]);
        looks.push(watch.look());
    }

    assert_eq!(looks, vec![Reload::Unchanged; 4]);
    assert!(matches!(watch.look(), Reload::Replaced(_)));
    assert_eq!((timeout_of(&watch), watch.failures()), (Duration::from_secs(9), 0));
}
