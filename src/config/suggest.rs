//! The known name nearest to a misspelt one.

/// The candidate with the fewest edits from `word`, upper and lower case counting as equal; None if
/// even that one is too far to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of both lengths, and no key is nearly this long.
    if word.len() > 80 {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let farthest = (word.len() / 4).clamp(1, 3);
    candidates
        // Each letter more is one edit.
        .filter(|candidate| candidate.chars().count().abs_diff(word.len()) <= farthest)
        .map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            (edits(&word, &letters), candidate)
        })
        .filter(|&(distance, _)| distance <= farthest)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed, replaced or swapped with a neighbour.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let swapped: &Vec<usize> = &before;
                best = best.min(swapped[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        let count = |a: &str, b: &str| {
            let letters = |s: &str| s.chars().collect::<Vec<_>>();
            edits(&letters(a), &letters(b))
        };
        assert_eq!(count("", ""), 0);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("clientPort", "clientPrt"), 1);
        assert_eq!(count("clientPort", "clientProt"), 1);
        assert_eq!(count("kitten", "sitting"), 3);
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = || ["clientPort", "dataDir", "dataLogDir", "tickTime"].into_iter();
        assert_eq!(nearest("clientport", names()), Some("clientPort"));
        assert_eq!(nearest("datadri", names()), Some("dataDir"));
        assert_eq!(nearest("ticktimes", names()), Some("tickTime"));
        assert_eq!(nearest("x", names()), None);
        assert_eq!(nearest("maxClientCnxns", names()), None);
        assert_eq!(nearest(&"a".repeat(10_000), names()), None);
    }
}
