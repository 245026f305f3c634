use super::*;
use crate::Float;
use crate::data::idx::tests::{gzip, maltreat};
use crate::data::{Dataset, Target};

fn rows(data: &Arrays) -> Vec<Vec<Float>> {
    (0..data.len())
        .map(|i| {
            let mut x = vec![0.0; data.shape().size()];
            data.read(i, &mut x).unwrap();
            x
        })
        .collect()
}

fn sentence(csv: Csv, table: &str) -> String {
    csv.parse(table.as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_target_may_be_anywhere() {
    let table = "a,y,b\n1,0,2\n3,1,4\n";
    for (target, table) in [
        (Column::from("y"), table),
        (Column::from(1), table),
        (Column::from(1), &table[6..]),
        (Column::Last, "\u{feff} a , b,y\r\n1, 2,0\r\n\r\n\"3\",4,1"),
    ] {
        let data = Csv::classification(target.clone()).parse(table.as_bytes()).unwrap();
        assert_eq!(rows(&data), [[1.0, 2.0], [3.0, 4.0]], "{target:?}");
        assert_eq!(data.target(1), Target::Class(1));
        let data = Csv::regression(target).parse(table.as_bytes()).unwrap();
        assert_eq!(data.target(1), Target::Values(&[1.0]));
    }
    // A first line that looks like any other, said to be names; and another delimiter, gzipped.
    let data = Csv::regression(Column::Last)
        .header(true)
        .parse("1,2\n3,4\n".as_bytes())
        .unwrap();
    assert_eq!(rows(&data), [[3.0]]);
    let data = Csv::regression(0)
        .delimiter(b';')
        .parse(&gzip(b"1;2\n3;4\n")[..])
        .unwrap();
    assert_eq!(rows(&data), [[2.0], [4.0]]);
}

#[test]
fn classes_are_sorted() {
    let names = |table: &str| {
        let data = Csv::classification(0).parse(table.as_bytes()).unwrap();
        let Target::Class(first) = data.target(0) else {
            unreachable!()
        };
        (data.class_names().unwrap().join(" "), first)
    };
    assert_eq!(names("10,1\n9,1\n-1,1\n9,2\n"), ("-1 9 10".into(), 2));
    assert_eq!(names("10,1\n9,1\nx,1\n"), ("10 9 x".into(), 0));
    let csv = Csv::classification(0).class_names(["c", "b", "a"]);
    assert_eq!(csv.parse("a,1\nb,2\n".as_bytes()).unwrap().target(0), Target::Class(2));
    assert_eq!(
        sentence(csv, "a,1\nd,2\n"),
        "line 2, column 1: `d` is none of the classes c, b, a"
    );
}

#[test]
fn faults_are_named_with_their_line() {
    let values = || Csv::regression(Column::Last);
    assert_eq!(sentence(values(), ""), "the table is empty");
    assert_eq!(sentence(values(), "\n\n"), "the table is empty");
    assert_eq!(
        sentence(values(), "a,b\n"),
        "the table has no rows, only a first line with names"
    );
    assert_eq!(
        sentence(values(), "1,2\n3\n"),
        "line 2: the row has 1 cell, and the first has 2"
    );
    assert_eq!(
        sentence(values(), "1,2\n\n3,\n"),
        "line 3, column 2: the cell is empty, and should be a number"
    );
    assert_eq!(
        sentence(values(), "1,2\n3,4\nNaN,5\n"),
        "line 3, column 1: `NaN` is not a finite number"
    );
    let (bits, at_most, too_low) = if cfg!(gradus_f64) {
        (64, "1.7976931348623157e308", "-1e309")
    } else {
        (32, "3.4028235e38", "-1e300")
    };
    for cell in ["1e999", too_low] {
        assert_eq!(
            sentence(values(), &format!("1,2\n3,{cell}\n")),
            format!("line 2, column 2: `{cell}` is too large: numbers have {bits} bits, and are {at_most} at most")
        );
    }
    assert_eq!(
        sentence(values(), "1,2\n3,-inf\n"),
        "line 2, column 2: `-inf` is not a finite number"
    );
    let long = "x".repeat(41);
    assert_eq!(
        sentence(values(), &format!("1,2\n3,{long}\n")),
        format!("line 2, column 2: `{}…` is not a number", &long[..39])
    );
    assert!(sentence(values(), "1\n2\n").contains("one column only"));
    assert!(sentence(Csv::regression(5), "1,2\n").contains("no column 5"));
    assert!(
        sentence(Csv::regression("z"), "a,b\n1,2\n").contains(
            "no column is called `z`: the first line has a, b; give another name, or the position of the target, the first being 0"
        )
    );
    assert!(sentence(Csv::regression("z").header(false), "1,2\n").contains("by name"));
    assert_eq!(
        sentence(Csv::classification(1), "1,x\n2,\n"),
        "line 2, column 2: there is no class"
    );
    let error = values().parse(&b"1,2\n3,\xff\n"[..]).unwrap_err().to_string();
    assert_eq!(error, "line 2, column 2: the text is not UTF-8");
    let error = values().read("no/such.csv").unwrap_err().to_string();
    assert!(error.starts_with("no/such.csv: "), "{error}");
}

/// Whether the first line of a table was taken for names, or the sentence.
fn first_line(csv: &Csv, table: &str) -> Result<bool, String> {
    let table = csv.parse_table(table.as_bytes()).map_err(|error| error.to_string())?;
    Ok(table.column_names().is_some())
}

#[test]
fn the_first_line_is_names_or_a_row() {
    let classes = Csv::classification(Column::Last);
    let values = Csv::regression(Column::Last);
    let thousand = (0..1000).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let pixels = format!("{thousand}\n{}1\n{}7\n", "0,".repeat(999), "3,".repeat(999));
    for (csv, table, names) in [
        (&classes, "a,b,c\n1,2,3\n", true),
        (&classes, "1,2,3\n4,5,6\n1,2,3\n", false),
        (&classes, "0,1,2,3\n-1.1,0.5,2.5,0\n1.5,0.25,-1.0,1\n", true),
        (&classes, "0,1,2,y\n-0.8,-1.3,-0.2,0\n0.4,1.1,0.1,2\n", true),
        (
            &classes,
            "0,1,2,species\n5,3,1,setosa\n4,3,1,setosa\n6,2,4,virginica\n",
            true,
        ),
        (
            &classes,
            "2019,2021,2024,region\n5.5,3.1,1.0,north\n4.5,3.2,1.5,south\n",
            true,
        ),
        (&classes, "5,3,1,setosa\n4,3,1,setosa\n6,2,4,virginica\n", false),
        (&classes, "7,x\n8,y\n", false),
        (&values, "0,1,2,price\n5,3,1,10\n4,3,1,20\n", true),
        (&values, "2019,2020,2021\n1.5,2.5,3.5\n", true),
        (&values, "1,2\n2,4.5\n", false),
        (&values, "1,2,3\n1,2,5\n1,2,3\n", false),
        (&classes, ",0,1,2\n0,5,3,1\n1,4,3,0\n", true),
        (&classes, "a,,c,d\n1,2,3,0\n", true),
        (&classes, &pixels, true),
        (&classes, "x,y,1\n2,3,1\n4,5,0\n", true),
    ] {
        assert_eq!(first_line(csv, table), Ok(names), "{table}");
        for said in [true, false] {
            let read = first_line(&csv.clone().header(said), table);
            assert!(read == Ok(said) || read.is_err() && names, "{table}");
        }
    }
    // A fault in the first row does not make it names.
    for (table, column, problem) in [
        (
            "-1.1,,-0.4,0\n1.0,0.8,0.7,1\n",
            2,
            "the cell is empty, and should be a number",
        ),
        ("1,,3,0\n1,8,7,1\n", 2, "the cell is empty, and should be a number"),
        (",2,3,0\n1,8,7,1\n", 1, "the cell is empty, and should be a number"),
        ("1,NA,3,0\n1,8,7,1\n", 2, "`NA` is not a number"),
        ("1,?,3,0\n1,8,7,1\n", 2, "`?` is not a number"),
        ("1,unknown,3,0\n1,8,7,0\n", 2, "`unknown` is not a number"),
        ("1,nan,3,0\n1,8,7,0\n", 2, "`nan` is not a finite number"),
        ("1.5,wide,3,0\n1,8,7,0\n", 2, "`wide` is not a number"),
    ] {
        let sentence = first_line(&classes, table).unwrap_err();
        assert!(
            sentence.starts_with(&format!("line 1, column {column}: {problem}")),
            "{sentence}"
        );
    }
    let sentence = first_line(&classes, "1.5,wide,3,0\n1,8,7,0\n").unwrap_err();
    assert!(
        sentence.ends_with("(if the first line names the columns, say so with `header`)"),
        "{sentence}"
    );
    // What may be either.
    for table in ["0,1\n1,0\n5,1\n", "0,1,2\n5,3,1\n4,3,0\n"] {
        let sentence = first_line(&classes, table).unwrap_err();
        assert!(
            sentence.contains("may name the columns or be a row of numbers"),
            "{sentence}"
        );
    }
}

#[test]
fn a_number_as_target_is_a_name_if_there_is_one() {
    let target = |table: &str, target: &str| {
        let csv = Csv::regression(Column::NameOrIndex(target.into()));
        let table = csv.parse_table(table.as_bytes()).map_err(|error| error.to_string())?;
        Ok::<_, String>(table.target_values().map(|values| values[0]))
    };
    let years = "x,y,2019\n1,2,3\n4,5,6\n";
    assert_eq!(target(years, "2019"), Ok(Some(3.0)));
    assert_eq!(target(years, "y"), Ok(Some(2.0)));
    assert_eq!(target(years, "0"), Ok(Some(1.0)));
    assert_eq!(target("2,0,1\n1.5,2.5,3.5\n", "1"), Ok(Some(0.0)), "a row");
    assert_eq!(target("1,2,3\n7.5,8.5,9.5\n", "1"), Ok(Some(7.5)), "names");
    assert_eq!(target("5,1,9\n7,8,6\n", "1"), Ok(Some(1.0)));
    assert!(target(years, "2020").unwrap_err().contains("no column 2020"));
    assert!(target(years, "z").unwrap_err().contains("no column is called `z`"));
    assert!(
        target("y,x,y\n1,2,3\n", "y")
            .unwrap_err()
            .contains("more than one column is called `y`")
    );
}

#[test]
fn columns_are_found_by_their_names() {
    let csv = || Csv::classification("y").columns(["a", "b"]);
    for table in [
        "a,b,y\n1,2,0\n3,4,1\n",
        "y,b,a\n0,2,1\n1,4,3\n",
        "b,note,y,a\n2,x,0,1\n4,,1,3\n",
    ] {
        let table = csv().parse_table(table.as_bytes()).unwrap();
        assert_eq!(table.rows().collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(table.column_names().unwrap(), ["a", "b"]);
        assert_eq!(table.labels().unwrap(), [0, 1]);
        assert_eq!(
            table.unused().len(),
            table.unused().iter().filter(|name| *name == "note").count()
        );
    }
    let sentence = |text: &str| csv().parse(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        sentence("a,c,y\n1,2,0\n"),
        "no column is called `b`: the first line has a, c, y"
    );
    assert_eq!(sentence("b,a,b,y\n1,2,3,0\n"), "more than one column is called `b`");
    let by_position = Csv::classification(Column::Last).columns(["0", "1"]);
    let table = by_position.parse_table("1.5,2,0\n3,4,1\n".as_bytes()).unwrap();
    assert_eq!(
        (table.rows().next().unwrap(), table.column_names()),
        (&[1.5, 2.0][..], None)
    );
    let numeric = by_position.parse_table("1,0,y\n2,1,0\n4,3,1\n".as_bytes()).unwrap();
    assert_eq!(numeric.rows().next().unwrap(), [1.0, 2.0]);
    let sentence = by_position.parse("1.5,0\n3,1\n".as_bytes()).unwrap_err().to_string();
    assert!(
        sentence.contains("1 column beside the target, and 2 are wanted: 0, 1"),
        "{sentence}"
    );
    let none = Csv::classification("y").columns([""; 0]);
    assert_eq!(
        none.parse("a,y\n1,0\n".as_bytes()).unwrap_err().to_string(),
        "no columns are wanted beside the target: a table needs at least one of values"
    );
    // Names that recur are no way to find columns, except in the same order.
    let same = Csv::classification(Column::Last).columns(["a", "a"]);
    assert!(same.parse("a,a,y\n1,2,0\n".as_bytes()).is_ok());
    assert!(same.parse("a,y,a\n1,2,0\n".as_bytes()).is_err());
}

#[test]
fn a_quote_has_to_be_closed_on_its_line() {
    let csv = || Csv::classification(Column::Last);
    let mut table = "a,b,y\n1,2,\"u\n".to_string();
    (0..1000).for_each(|i| table += &format!("{i},2,v\n"));
    for (text, line, column) in [
        (&table[..], 2, 3),
        ("a,b,y\n1,2,v\n\n\n1,\"2,w\n3,4,\"v\"\n", 5, 2),
        ("a,b,y\n1,2,v\n3,4,\"w", 3, 3),
        ("a,\"b,y\n1,2,v\n", 1, 2),
    ] {
        let sentence = sentence(csv(), text);
        let expected = format!("line {line}, column {column}: the cell begins with a quote");
        assert!(sentence.starts_with(&expected), "{sentence}");
    }
    let names = csv()
        .parse("a,y\r\n1,\"say \"\"hi\"\"\"\r\n2,\"a,b\"\r\n".as_bytes())
        .unwrap();
    assert_eq!(names.class_names().unwrap(), ["a,b", "say \"hi\""]);
    assert!(sentence(csv(), "a,y\r1,2\r3,4\r").contains("carriage return"));
}

#[test]
fn missing_classes_are_errors_and_numbers_are_sorted_as_numbers() {
    let csv = || Csv::classification(Column::Last);
    for word in ["NA", "nan", "NaN", "null", "N/A", "NAN"] {
        let sentence = sentence(csv(), &format!("a,b,y\n1,2,0\n3,4,1\n\n1,2,{word}\n"));
        let expected = format!("line 5, column 3: `{word}` says that the class is missing");
        assert!(sentence.starts_with(&expected), "{sentence}");
    }
    let names = |cells: &str| {
        let table: String = cells.split(' ').map(|cell| format!("0.5,{cell}\n")).collect();
        csv()
            .parse(table.as_bytes())
            .map(|data| data.class_names().unwrap().join(" "))
    };
    assert_eq!(names("10.0 2.0 1.5 2.0").unwrap(), "1.5 2.0 10.0");
    assert_eq!(names("1e1 -3 2").unwrap(), "-3 2 1e1");
    let error = names("1 1.0 2").unwrap_err().to_string();
    assert_eq!(
        error,
        "line 2, column 2: the class `1.0` is the same number as `1` on line 1: write it in one way"
    );
    let error = names("2 1.0 2 1").unwrap_err().to_string();
    assert!(
        error.starts_with("line 4, column 2: the class `1` is the same number as `1.0` on line 2"),
        "{error}"
    );
    let known = csv()
        .class_names(["0", "1", "10"])
        .parse("0.5,10.0\n0.5,0\n".as_bytes())
        .unwrap();
    assert_eq!((known.target(0), known.target(1)), (Target::Class(2), Target::Class(0)));
}

#[test]
fn the_delimiter_is_seen() {
    let read = |text: &str| {
        let csv = Csv::regression(Column::Last);
        let table = csv.parse_table(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok::<_, String>(table.rows().next().unwrap().to_vec())
    };
    assert_eq!(read("\"a\";\"b\";\"y\"\n1;2;0\n"), Ok(vec![1.0, 2.0]));
    assert_eq!(read("a|b|y\n1|2|0\n"), Ok(vec![1.0, 2.0]));
    assert_eq!(read("1\t2\t0\n"), Ok(vec![1.0, 2.0]));
    assert_eq!(read("\"a;m\",b;n,y\n1,2,0\n"), Ok(vec![1.0, 2.0]));
    // The last line counts, whether it has a line feed or not.
    for text in ["a|b,c\n1,2", "a|b,c\n1,2\n", "a;b,c\n\n1,2", "a\tb,c\n1,2"] {
        assert_eq!(read(text), Ok(vec![1.0]), "{text}");
    }
    assert_eq!(read("1|2"), Ok(vec![1.0]));
    for delimiter in [b'\n', b'\r', b'"'] {
        let csv = Csv::regression(Column::Last).delimiter(delimiter);
        let error = csv.parse("1,2\n".as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("a line break or a quote can't be the delimiter"),
            "{error}"
        );
    }
    assert_eq!(
        read("1;2;0\n1;"),
        Err("line 2: the row has 2 cells, and the first has 3".into())
    );
    assert_eq!(
        read("a;y\n1,5;2,5\n").unwrap_err(),
        "line 2, column 1: `1,5` is not a number: write it without commas, decimals with a point"
    );
}

#[test]
fn a_line_without_an_end_is_refused() {
    let longest = rows::LONGEST_LINE as u64;
    let parse = |head: &str, rest: u64| {
        let text = head.as_bytes().chain(std::io::repeat(b' ').take(rest));
        Csv::regression(Column::Last)
            .parse(text)
            .map_err(|error| error.to_string())
    };
    assert!(parse("a,y\n1,2", longest - 3).is_ok());
    let expected = "line 2 is longer than 16 MiB, the most that is read of one: each row of a table is a line, which ends in \
                    a line feed";
    assert_eq!(parse("a,y\n1,2", longest - 2).unwrap_err(), expected);
    assert!(
        parse("1,2", longest)
            .unwrap_err()
            .starts_with("line 1 is longer than 16 MiB")
    );
}

#[test]
fn no_damage_panics() {
    let table = b"a,b,\"c\"\n1,2,x\n3.5,-4e2,\"y\"\n5,6,x\n";
    for file in [&table[..], &gzip(table)] {
        maltreat(file, |bytes| {
            for csv in [Csv::classification("c"), Csv::classification(2), Csv::regression(0)] {
                let _ = csv.parse(bytes);
            }
        });
    }
}
