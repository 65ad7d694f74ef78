//! Wire names and Rust names, in one place.

use crate::model::{Reference, Shape};

/// Name of a member in XML (ec2, query), or of its header or query parameter (s3): the member's `locationName`, else its target's,
/// else the member's own name.
pub fn location_name<'a>(name: &'a str, member: &'a Reference, target: &'a Shape) -> &'a str {
    member.location_name.as_deref().or(target.location_name.as_deref()).unwrap_or(name)
}

/// Name of a member in a form. The ec2 protocol: `queryName`, else `locationName` with its first letter in upper case, else the
/// member's name; the query protocol: `locationName`, else the member's name.
pub fn query_name(protocol: &str, name: &str, member: &Reference, target: &Shape) -> String {
    if protocol != "ec2" {
        return location_name(name, member, target).to_owned();
    }
    if let Some(query_name) = &member.query_name {
        return query_name.clone();
    }
    let wire = location_name(name, member, target);
    let mut letters = wire.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// `EnaSrdSpecification` -> `ena_srd_specification`, `CPUOptions` -> `cpu_options`, `Ipv6Addresses` -> `ipv6_addresses`.
pub fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_ascii_uppercase();
        let before_lower = letters.get(at + 1).is_some_and(|next| next.is_ascii_lowercase());
        if letter.is_ascii_uppercase() && at > 0 && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// What serde's `rename_all = "PascalCase"` makes of a snake-case field.
pub fn pascal_case(snake: &str) -> String {
    snake
        .split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
        })
        .collect()
}

/// `type` -> `r#type`
pub fn field_ident(name: &str) -> String {
    let snake = snake_case(name);
    let keyword = matches!(
        snake.as_str(),
        "type" | "match" | "use" | "ref" | "static" | "where" | "in" | "for" | "move" | "return"
    );
    if keyword { format!("r#{snake}") } else { snake }
}

/// First sentence of a documentation text, its markup removed.
pub fn summary(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for letter in html.chars() {
        match letter {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if in_tag => {}
            _ => text.push(letter),
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].replace('[', "(").replace(']', ")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_snake_case_and_find_back() {
        for (name, snake) in [
            ("ImageId", "image_id"),
            ("CPUOptions", "cpu_options"),
            ("Ipv6AddressCount", "ipv6_address_count"),
            ("EnaSrdSpecification", "ena_srd_specification"),
            ("S3", "s3"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
        assert_eq!(pascal_case("image_id"), "ImageId");
        assert_ne!(pascal_case("cpu_options"), "CPUOptions");
        assert_eq!(field_ident("Type"), "r#type");
    }

    #[test]
    fn a_summary_is_the_first_sentence_without_markup() {
        assert_eq!(summary("<p>Launches the <code>AMI</code>\n in [x]. More.</p>"), "Launches the AMI in (x).");
    }
}
