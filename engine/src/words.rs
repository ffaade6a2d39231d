//! Words for texts that nobody reads.

/// Plain English nouns, a few adjectives among them.
#[rustfmt::skip]
pub(crate) const WORDS: [&str; 123] = [
    "amber", "anchor", "apple", "arrow", "autumn", "basket", "beacon", "birch", "blossom",
    "breeze", "bridge", "brook", "candle", "canyon", "cedar", "circle", "clover", "cloud",
    "compass", "copper", "coral", "cotton", "crystal", "dawn", "delta", "desert", "dune", "eagle",
    "echo", "ember", "falcon", "feather", "fern", "field", "flint", "forest", "fountain",
    "garden", "glacier", "granite", "harbor", "hazel", "heron", "hill", "horizon", "island",
    "ivory", "jasmine", "juniper", "lagoon", "lantern", "lark", "lemon", "lily", "linen", "lotus",
    "maple", "marble", "meadow", "mist", "moon", "moss", "mountain", "night", "oak", "ocean",
    "olive", "orchard", "otter", "paper", "pearl", "pebble", "pepper", "pine", "planet", "plum",
    "pond", "prairie", "quartz", "quiet", "rain", "raven", "reef", "river", "robin", "rose",
    "sage", "sail", "sand", "shadow", "shell", "silver", "sky", "snow", "song", "spark", "spring",
    "spruce", "star", "stone", "storm", "stream", "summer", "sun", "thistle", "thunder", "tide",
    "timber", "trail", "tulip", "valley", "velvet", "violet", "walnut", "water", "wave", "willow",
    "wind", "winter", "wood", "wren", "yarrow", "zephyr",
];
