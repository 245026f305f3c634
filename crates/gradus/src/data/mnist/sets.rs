//! The sets that are known: their addresses, checksums and classes.

use super::{Archive, Classes, Set, Sha256};

const DIGITS: &str = "0123456789";
/// The letters whose small form EMNIST merges with the capital are left out.
const MERGED: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt";

/// The sets that are known.
pub static SETS: [Set; 9] = [
    Set {
        name: "mnist",
        about: "60,000 + 10,000 handwritten digits (LeCun, Cortes and Burges, 1998)",
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        archive: None,
        homepage: "http://yann.lecun.com/exdb/mnist/",
        prefix: "",
        test: "t10k",
        classes: Classes::Characters(DIGITS),
        first_label: 0,
        transposed: false,
        checksums: Some(of_content([
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ])),
        signature: Some([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]),
    },
    Set {
        name: "fashion-mnist",
        about: "60,000 + 10,000 pictures of clothes in 10 classes (Xiao, Rasul and Vollgraf, 2017)",
        mirrors: &[
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ],
        archive: None,
        homepage: "https://github.com/zalandoresearch/fashion-mnist",
        prefix: "",
        test: "t10k",
        classes: Classes::Named(&[
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ]),
        first_label: 0,
        transposed: false,
        checksums: Some(of_content([
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ])),
        signature: Some([9, 0, 0, 3, 0, 2, 7, 2, 5, 5]),
    },
    Set {
        name: "kmnist",
        about: "60,000 + 10,000 cursive Japanese characters in 10 classes (Clanuwat et al., 2018)",
        mirrors: &[
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "https://storage.googleapis.com/kuzushiji-mnist/",
        ],
        archive: None,
        homepage: "https://github.com/rois-codh/kmnist",
        prefix: "",
        test: "t10k",
        classes: Classes::Named(&["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]),
        first_label: 0,
        transposed: false,
        checksums: Some([
            Sha256::Gzipped("51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            Sha256::Uncompressed("2a16eeae62da984b8bd24fa32e31d47291f01dac3fe84d5594f304f71e7d374b"),
            Sha256::Uncompressed("76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e"),
            Sha256::Uncompressed("a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6"),
        ]),
        signature: Some([8, 7, 0, 1, 4, 2, 4, 8, 1, 1]),
    },
    emnist(
        "emnist-balanced",
        "112,800 + 18,800 digits and letters, 47 classes of equal size (Cohen et al., 2017)",
        "emnist-balanced-",
        MERGED,
        0,
    ),
    emnist(
        "emnist-letters",
        "124,800 + 20,800 letters, 26 classes, capital and small together (Cohen et al., 2017)",
        "emnist-letters-",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        1,
    ),
    emnist(
        "emnist-digits",
        "240,000 + 40,000 handwritten digits (Cohen et al., 2017)",
        "emnist-digits-",
        DIGITS,
        0,
    ),
    emnist(
        "emnist-mnist",
        "60,000 + 10,000 handwritten digits, to stand in for MNIST (Cohen et al., 2017)",
        "emnist-mnist-",
        DIGITS,
        0,
    ),
    emnist(
        "emnist-byclass",
        "697,932 + 116,323 digits, capital and small letters, 62 classes (Cohen et al., 2017)",
        "emnist-byclass-",
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        0,
    ),
    emnist(
        "emnist-bymerge",
        "697,932 + 116,323 digits and letters, 47 classes (Cohen et al., 2017)",
        "emnist-bymerge-",
        MERGED,
        0,
    ),
];

/// The sums of a set's files by their content.
const fn of_content([a, b, c, d]: [&'static str; 4]) -> [Sha256; 4] {
    [
        Sha256::Uncompressed(a),
        Sha256::Uncompressed(b),
        Sha256::Uncompressed(c),
        Sha256::Uncompressed(d),
    ]
}

/// The archive of all EMNIST sets.
const EMNIST: Archive = Archive {
    name: "emnist-gzip.zip",
    urls: &[
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
    ],
    sha256: "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    bytes: 561_753_746,
};

/// One of the EMNIST sets, which are distributed as one zip archive.
const fn emnist(
    name: &'static str,
    about: &'static str,
    prefix: &'static str,
    characters: &'static str,
    first_label: u8,
) -> Set {
    Set {
        name,
        about,
        mirrors: &[],
        archive: Some(&EMNIST),
        homepage: "https://www.nist.gov/itl/products-and-services/emnist-dataset",
        prefix,
        test: "test",
        classes: Classes::Characters(characters),
        first_label,
        transposed: true,
        checksums: None,
        signature: None,
    }
}
