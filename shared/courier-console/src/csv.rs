//! The list as a file for a spreadsheet: the pages of the API's CSV, one after the other.

use bytes::{Bytes, BytesMut};
use http::{Method, Response};
use jiff::Timestamp;

use crate::answer::{Reply, set};
use crate::api::{Answer, Api};
use crate::filter::Filter;

/// Operations on a page, the most that the API gives at once.
const LIMIT: &str = "200";
/// Pages of one file: 10,000 operations.
const MAX_PAGES: usize = 50;

pub(crate) async fn file(api: &Api<'_>, now: Timestamp, query: &str) -> Result<Reply, Answer> {
    let filter = Filter::read(query);
    let mut file = BytesMut::new();
    let mut cursor = String::new();
    for number in 0..MAX_PAGES {
        let asked = filter.parameters(now, &[("limit", LIMIT), ("cursor", &cursor)]);
        let path = format!("/v1/operations?{asked}");
        let accept = [("accept", "text/csv")];
        let page = api.send(Method::GET, &path, &accept, None).await?;
        let rows = match number {
            0 => &page.bytes[..],
            // The names of the columns stand once.
            _ => after_first_line(&page.bytes),
        };
        file.extend_from_slice(rows);
        let Some(next) = page.header("link").and_then(next_cursor) else {
            break;
        };
        cursor = next;
    }
    let mut response = Response::new(file.freeze());
    set(&mut response, "content-type", "text/csv; charset=utf-8");
    let disposition = "attachment; filename=\"operations.csv\"";
    set(&mut response, "content-disposition", disposition);
    Ok(Reply::File(response))
}

fn after_first_line(bytes: &Bytes) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.map_or(&[], |end| &bytes[end + 1..])
}

/// Returns the cursor of a `Link` header's next page.
fn next_cursor(link: &str) -> Option<String> {
    let mut links = link.split(',').map(str::trim);
    let next = links.find(|link| link.contains("rel=\"next\""))?;
    let (target, _) = next.strip_prefix('<')?.split_once('>')?;
    let (_, query) = target.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(name, value)| (name == "cursor").then(|| value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_in_the_link() {
        let link = "</v1/operations?limit=200&cursor=a%2Bb>; rel=\"next\"";
        assert_eq!(next_cursor(link).as_deref(), Some("a+b"));
        assert_eq!(next_cursor("</v1/operations>; rel=\"first\""), None);
        assert_eq!(
            after_first_line(&Bytes::from_static(b"a,b\r\n1,2\r\n")),
            b"1,2\r\n"
        );
    }
}
