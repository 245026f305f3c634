//! The order of classes that have names only.

/// Sorts items by their names: as numbers if all names are finite numbers (`2` before `10`), else as text.
pub(super) fn sort_by_name<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    let number = |item: &T| name(item).parse::<f64>().ok().filter(|number| number.is_finite());
    if items.iter().all(|item| number(item).is_some()) {
        let key = |item: &T| number(item).unwrap_or(0.0);
        items.sort_by(|a, b| key(a).total_cmp(&key(b)).then_with(|| name(a).cmp(name(b))));
    } else {
        items.sort_by(|a, b| name(a).cmp(name(b)));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_in_the_order_of_numbers() {
        let sorted = |names: &[&'static str]| {
            let mut names = names.to_vec();
            super::sort_by_name(&mut names, |name| name);
            names.join(" ")
        };
        assert_eq!(sorted(&["0", "1", "10", "11", "2"]), "0 1 2 10 11");
        assert_eq!(sorted(&["10.0", "2.0", "-1"]), "-1 2.0 10.0");
        assert_eq!(sorted(&["1", "01", "1.0", "-0", "0"]), "-0 0 01 1 1.0");
        assert_eq!(sorted(&["10", "2", "b", "a"]), "10 2 a b");
        assert_eq!(sorted(&["nan", "10", "2"]), "10 2 nan");
    }
}
