package content

import (
	"path"
	"strings"
)

const octets = "application/octet-stream"

// typeByName guesses a file's media type by its extension. The table is ours:
// mime.TypeByExtension reads the machine's own, so that one call would be sent
// differently by two replicas.
func typeByName(filename string) string {
	ext := strings.ToLower(strings.TrimPrefix(path.Ext(filename), "."))
	if t := textByExtension(ext); t != "" {
		return t
	}
	if t := mediaByExtension(ext); t != "" {
		return t
	}
	if t := documentByExtension(ext); t != "" {
		return t
	}
	return octets
}

func textByExtension(ext string) string {
	switch ext {
	case "txt", "text", "log", "ini", "conf":
		return "text/plain"
	case "html", "htm":
		return "text/html"
	case "css":
		return "text/css"
	case "js", "mjs":
		return "text/javascript"
	case "csv":
		return "text/csv"
	case "tsv":
		return "text/tab-separated-values"
	case "md", "markdown":
		return "text/markdown"
	case "ics":
		return "text/calendar"
	case "vcf":
		return "text/vcard"
	case "vtt":
		return "text/vtt"
	case "xml":
		return "text/xml"
	case "json":
		return "application/json"
	case "jsonl", "ndjson":
		return "application/x-ndjson"
	case "yaml", "yml":
		return "application/yaml"
	case "toml":
		return "application/toml"
	case "sql":
		return "application/sql"
	case "eml":
		return "message/rfc822"
	}
	return ""
}

func mediaByExtension(ext string) string {
	switch ext {
	case "png", "gif", "webp", "avif", "bmp", "heic":
		return "image/" + ext
	case "jpg", "jpeg":
		return "image/jpeg"
	case "svg":
		return "image/svg+xml"
	case "tif", "tiff":
		return "image/tiff"
	case "ico":
		return "image/vnd.microsoft.icon"
	case "mp3":
		return "audio/mpeg"
	case "wav":
		return "audio/wav"
	case "ogg", "oga":
		return "audio/ogg"
	case "flac", "aac":
		return "audio/" + ext
	case "m4a":
		return "audio/mp4"
	case "mp4", "m4v":
		return "video/mp4"
	case "webm", "mpeg":
		return "video/" + ext
	case "mov":
		return "video/quicktime"
	case "woff", "woff2", "ttf", "otf":
		return "font/" + ext
	}
	return ""
}

func documentByExtension(ext string) string {
	switch ext {
	case "pdf", "zip", "rtf", "wasm":
		return "application/" + ext
	case "gz", "tgz":
		return "application/gzip"
	case "zst":
		return "application/zstd"
	case "tar":
		return "application/x-tar"
	case "bz2":
		return "application/x-bzip2"
	case "7z":
		return "application/x-7z-compressed"
	case "parquet":
		return "application/vnd.apache.parquet"
	case "epub":
		return "application/epub+zip"
	case "doc":
		return "application/msword"
	case "xls":
		return "application/vnd.ms-excel"
	case "ppt":
		return "application/vnd.ms-powerpoint"
	case "docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case "xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case "pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case "odt":
		return "application/vnd.oasis.opendocument.text"
	case "ods":
		return "application/vnd.oasis.opendocument.spreadsheet"
	}
	return ""
}
