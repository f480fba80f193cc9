#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

#[tokio::test]
async fn what_waits_comes_oldest_first_also_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let aside = Aside::open(path.clone(), BYTES_MAX).await.unwrap();
    assert_eq!((aside.says(), ids(&aside)), (None, vec![]));
    for (id, second) in [("late.x", 3), ("early", 1), ("middle", 2), ("early", 1)] {
        put(&aside, id, second).await.unwrap();
    }
    fs::write(path.join("00000000000000000001.half.new"), "ha").unwrap();
    for aside in [&aside, &Aside::open(path.clone(), BYTES_MAX).await.unwrap()] {
        assert_eq!(ids(aside), ["early", "middle", "late.x"]);
        assert_eq!(aside.oldest(1), aside.oldest(3)[..1]);
        assert!(aside.says().unwrap().contains(": 3 letters (17 bytes) wait in "), "{:?}", aside.says());
    }
    assert!(!path.join("00000000000000000001.half.new").exists());
}

#[tokio::test]
async fn the_oldest_are_known_without_reading_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("letters"), folder.path().join("away"));
    let aside = Aside::open(path.clone(), BYTES_MAX).await.unwrap();
    put(&aside, "a", 1).await.unwrap();
    put(&aside, "b", 2).await.unwrap();
    fs::rename(&path, &away).unwrap();
    assert_eq!(ids(&aside), ["a", "b"]);
    fs::rename(&away, &path).unwrap();
    let oldest = aside.oldest(2);
    assert_eq!(aside.read(&oldest[0]).await.unwrap().unwrap(), b"a");
    aside.remove(&oldest[0]).await.unwrap();
    assert_eq!(ids(&aside), ["b"]);
    aside.set_apart(&oldest[1]).await.unwrap();
    assert_eq!((aside.says(), ids(&aside)), (None, vec![]));
    let next = Aside::open(path.clone(), BYTES_MAX).await.unwrap();
    assert_eq!((next.says(), fs::read_dir(&path).unwrap().count()), (None, 1));
}

#[tokio::test]
async fn a_letter_that_a_person_removed_holds_up_none_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let aside = Aside::open(folder.path().to_owned(), BYTES_MAX).await.unwrap();
    put(&aside, "a", 1).await.unwrap();
    put(&aside, "b", 2).await.unwrap();
    let gone = aside.oldest(1).remove(0);
    fs::remove_file(aside.path(&gone)).unwrap();
    assert_eq!(aside.read(&gone).await.unwrap(), None);
    aside.remove(&gone).await.unwrap();
    assert_eq!(ids(&aside), ["b"]);
}

#[tokio::test]
async fn more_bytes_or_letters_than_the_bounds_are_refused_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let of_bytes = Aside::open(folder.path().join("bytes"), 3).await.unwrap();
    let of_letters = Aside::open(folder.path().join("letters"), BYTES_MAX).await.unwrap();
    let of_letters = Aside { letters_max: 2, ..of_letters };
    for (aside, bound) in [(of_bytes, "3 bytes"), (of_letters, "2 letters")] {
        put(&aside, "a", 1).await.unwrap();
        put(&aside, "b", 2).await.unwrap();
        let refused = put(&aside, "cc", 3).await.unwrap_err();
        assert!(refused.to_string().ends_with(&format!("is full at {bound}")), "{refused}");
        aside.remove(&aside.oldest(1)[0]).await.unwrap();
        put(&aside, "cc", 3).await.unwrap();
        assert_eq!(ids(&aside), ["b", "cc"]);
    }
}

async fn put(aside: &Aside, id: &str, second: i64) -> Result<(), BusError> {
    aside.put(id, Timestamp::from_second(second).unwrap(), id.as_bytes().to_vec(), &why()).await
}

fn ids(aside: &Aside) -> Vec<String> {
    aside.oldest(usize::MAX).iter().map(|waits| waits.id().to_owned()).collect()
}

fn why() -> BusError {
    BusError::Full { what: "dead_letters".to_owned(), bound: "1 bytes".to_owned(), held_by: None }
}
