#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Writes the King James Bible as 66 books of running text, in the layout of PG-19:
#
#   jobs/write-kjv.sh DIR      DIR/{train,validation,test}/ID.txt and DIR/metadata.csv
#
# The text is that of Debian's package bible-kjv-text, read with its program `bible`. A chapter is
# one paragraph: its verses one after the other without their numbers, a blank line between
# chapters. ID is 100 + the book's place in the Bible, so the names sort in reading order.
# metadata.csv has PG-19's four columns, id, title, year, url, and no header row.
#
# The six test books are of six kinds: a short story (Ruth), a court history (Esther), wisdom
# (Ecclesiastes), a prophet (Hosea), a gospel (John) and a letter (Romans); the four validation
# books are of four: visions (Daniel), poetry (Song of Solomon), a prophet (Amos), a letter (James).
# Of each of the ten, fewer than 1 in 150 runs of eight words stand in a training book too (1 in 15
# of Mark, which retells Matthew, and 1 in 20 of Chronicles): prediction is measured, not recall.
set -euo pipefail

if [ $# != 1 ] || [ "$1" = --help ]; then
    echo "usage: $0 DIR" >&2
    exit 64
fi
if ! command -v bible >/dev/null; then
    echo "write-kjv: no program 'bible'; it is in Debian's package bible-kjv" >&2
    exit 69
fi
folder=$1
mkdir -p "$folder/train" "$folder/validation" "$folder/test"

# -f prints one verse a line, "Ge1:1 In the beginning ..."
bible -f gen1:1-rev22:21 </dev/null | awk -v folder="$folder" '
BEGIN {
    titles = "Genesis|Exodus|Leviticus|Numbers|Deuteronomy|Joshua|Judges|Ruth|1 Samuel|2 Samuel|" \
        "1 Kings|2 Kings|1 Chronicles|2 Chronicles|Ezra|Nehemiah|Esther|Job|Psalms|Proverbs|" \
        "Ecclesiastes|Song of Solomon|Isaiah|Jeremiah|Lamentations|Ezekiel|Daniel|Hosea|Joel|Amos|" \
        "Obadiah|Jonah|Micah|Nahum|Habakkuk|Zephaniah|Haggai|Zechariah|Malachi|Matthew|Mark|Luke|" \
        "John|Acts|Romans|1 Corinthians|2 Corinthians|Galatians|Ephesians|Philippians|Colossians|" \
        "1 Thessalonians|2 Thessalonians|1 Timothy|2 Timothy|Titus|Philemon|Hebrews|James|1 Peter|" \
        "2 Peter|1 John|2 John|3 John|Jude|Revelation"
    split(titles, title, "|")
    split_of["Ruth"] = split_of["Esther"] = split_of["Ecclesiastes"] = "test"
    split_of["Hosea"] = split_of["John"] = split_of["Romans"] = "test"
    split_of["Daniel"] = split_of["Song of Solomon"] = "validation"
    split_of["Amos"] = split_of["James"] = "validation"
    metadata = folder "/metadata.csv"
    printf "" > metadata
}

function begin_book(    name, part) {
    if (books > 0) {
        print "" > file
        close(file)
    }
    name = title[++books]
    part = (name in split_of) ? split_of[name] : "train"
    parts[part]++
    file = sprintf("%s/%s/%d.txt", folder, part, 100 + books)
    printf "" > file
    printf "%d,%s,1611,https://packages.debian.org/bible-kjv-text\n", 100 + books, name > metadata
}

{
    reference = $1
    verse = substr($0, length(reference) + 2)
    colon = index(reference, ":")
    chapter = substr(reference, 1, colon - 1)          # "1Sm3" of "1Sm3:10"
    book = chapter
    sub(/[0-9]+$/, "", book)
    if (colon == 0 || verse == "") {
        print "write-kjv: not a verse: " $0 > "/dev/stderr"
        failed = 1
        exit
    }
    verses++
    if (book != book_before) {
        begin_book()
        chapters++
    } else if (chapter != chapter_before) {
        printf "\n\n" > file
        chapters++
    } else {
        printf " " > file
    }
    printf "%s", verse > file
    book_before = book
    chapter_before = chapter
}

END {
    if (failed)
        exit 65
    print "" > file
    close(file)
    close(metadata)
    if (books != 66 || chapters != 1189 || verses != 31102) {
        printf "write-kjv: found %d books, %d chapters, %d verses; the Bible has 66, 1189, 31102\n", \
            books, chapters, verses > "/dev/stderr"
        exit 65
    }
    printf "%d books (%d train, %d validation, %d test), %d chapters, %d verses in %s\n", \
        books, parts["train"], parts["validation"], parts["test"], chapters, verses, folder
}'
