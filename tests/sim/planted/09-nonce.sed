# after forgetting its dots a site goes on as the same writer
s/^\t\te->writer_spent = true;$/\t\te->writer_spent = false;/
