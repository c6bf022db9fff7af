module example.test/subject

go 1.20
