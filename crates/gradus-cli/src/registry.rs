//! What options, recipes and files may name, in this process.

use std::sync::OnceLock;

use gradus::Registry;

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// What may be named: the library's own, unless [`main_with`](crate::main_with) was given more.
pub fn registry() -> &'static Registry {
    REGISTRY.get_or_init(Registry::default)
}

/// Sets what may be named, before anything was. False if it is too late.
pub(crate) fn set(registry: Registry) -> bool {
    REGISTRY.set(registry).is_ok()
}

/// These names in a sentence: `a, b or c`.
pub fn or_list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match &names[..] {
        [] => String::new(),
        [one] => one.to_string(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_alternatives() {
        assert_eq!(or_list([].into_iter()), "");
        assert_eq!(or_list(["a"].into_iter()), "a");
        assert_eq!(or_list(["a", "b", "c"].into_iter()), "a, b or c");
    }
}
