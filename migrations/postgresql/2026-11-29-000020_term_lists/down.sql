DROP TABLE term_lists;
