//! Names that were probably meant by unknown ones.

use crate::terminal::display_name;

/// How a sentence on an unknown name goes on, before the known ones: `choose one of`, or with the one that was probably meant.
pub fn choose<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    match closest(name, names) {
        Some(near) => format!("did you mean `{}`? Choose one of", display_name(near)),
        None => "choose one of".into(),
    }
}

/// The name that was probably meant by one that is mistyped: at most two in five of its letters are others. Cases are the same.
pub fn closest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let distance = |known: &str| strsim::osa_distance(&lower, &known.to_lowercase());
    let distances = names.into_iter().map(|known| (distance(known), known));
    let (distance, near) = distances.min_by_key(|&(distance, _)| distance)?;
    (5 * distance <= 2 * near.chars().count()).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_is_named() {
        let names = ["mlp", "lenet", "Sepal width", "sepal length"];
        let meant = |name| closest(name, names);
        assert_eq!(meant("lnet"), Some("lenet"));
        assert_eq!(meant("mpl"), Some("mlp"));
        assert_eq!(meant("sepal widht"), Some("Sepal width"));
        assert_eq!(meant("vgg"), None);
        assert_eq!(meant(""), None);
        assert_eq!(closest("x", []), None);
        assert_eq!(choose("lnet", names), "did you mean `lenet`? Choose one of");
        assert_eq!(choose("vgg", names), "choose one of");
        assert_eq!(choose("a b", ["a\nb"]), "did you mean `a\\nb`? Choose one of");
    }
}
